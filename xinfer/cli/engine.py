"""The command ``engine``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from xinfer.cli.options import as_json, print_json, with_client
from xinfer.cli.table import print_items
from xinfer.model_size import canonical_size_or_text

if TYPE_CHECKING:
    from xinfer.client import RESTfulClient

_COLUMNS = {
    "NAME": "model_name",
    "ENGINE": "model_engine",
    "FORMAT": "model_format",
    "SIZE (B)": "model_size_in_billions",
    "QUANTIZATION": "quantization",
}


@click.command()
@click.argument("argument", required=False, metavar="MODEL_NAME")
@click.option("-n", "--model-name", help="The same as the argument.")
@click.option("-en", "--model-engine", help="Only on this engine.")
@click.option("-f", "--model-format", help="Only in this format.")
@click.option("-s", "--model-size-in-billions", "size", help="Only of this size, such as 8, 0.6 or 0_6.")
@click.option("-q", "--quantization", help="Only in this quantization.")
@as_json
@with_client
def engine(
    client: RESTfulClient,
    /,
    argument: str | None,
    model_name: str | None,
    as_json: bool,
    **wanted: str | None,
) -> None:
    """Show which sizes, formats and quantizations of a family can be launched, and on which engine."""
    name = argument or model_name
    if name is None or (argument and model_name):
        raise click.UsageError("Name one family: MODEL_NAME. `xinfer models` lists them.")
    rows = [row for row in _rows(client.query_engine_by_model_name(name)) if _matches(row, **wanted)]
    if as_json:
        print_json(rows)
    elif not rows:
        raise click.ClickException(f"{name} has no such model; `xinfer engine {name}` shows all.")
    else:
        print_items(_COLUMNS, rows)


def _rows(engines: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name, specs in engines.items():
        # For an engine that cannot run the family, Xinference sends a sentence that says why.
        if not isinstance(specs, list):
            continue
        for spec in specs:
            for quantization in spec["quantizations"]:
                yield {
                    "model_name": spec["model_name"],
                    "model_engine": name,
                    "model_format": spec["model_format"],
                    "model_size_in_billions": spec["model_size_in_billions"],
                    "quantization": quantization,
                }


def _matches(row: dict[str, Any], *, size: str | None, **wanted: str | None) -> bool:
    # Users type 0.6 and 0_6, and servers send either.
    found_size = canonical_size_or_text(row["model_size_in_billions"])
    if size is not None and canonical_size_or_text(size) != found_size:
        return False
    for field, value in wanted.items():
        found = str(row[field])
        if value is not None and value.casefold() != found.casefold():
            return False
    return True
