"""Plain tables for people and for ``grep``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click


def print_table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Columns as wide as their widest cell; what is absent shows as ``-``."""
    lines = [list(headers)]
    lines += [list(map(_cell, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = map(str.ljust, line, widths)
        # No blanks at the end of a line: grep 'READY$' has to match.
        click.echo("  ".join(cells).rstrip())


def print_items(columns: Mapping[str, str], items: Iterable[Mapping[str, Any]]) -> None:
    """A table with a row for each item; ``columns`` has the header and the key of each column."""
    # get, as a server other than xinfer's may leave fields out.
    rows = [list(map(item.get, columns.values())) for item in items]
    print_table(list(columns), rows)


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"
    if value is None or value == "":
        return "-"
    return str(value)
