"""A talk on the terminal: line by line, with what was said kept."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from xinfer.cli.error_text import one_line
from xinfer.cli.output import pieces, show
from xinfer.errors import XinferError

if TYPE_CHECKING:
    from xinfer.client import Stream

Message = dict[str, str]


def converse(
    reply: Callable[[list[Message]], Mapping[str, Any] | Stream], read_line: Callable[[], str] | None = None
) -> None:
    """Ask for lines and print the answers until an empty line or the end of input.

    A failed answer is told in a line, and Ctrl-C cuts one short; either way that line counts as not said.
    """
    said: list[Message] = []
    while text := (read_line or _read_line)():
        said.append({"role": "user", "content": text})
        try:
            answer = show(pieces(reply(said)), show_reasoning=sys.stdout.isatty())
            said.append({"role": "assistant", "content": answer})
        except XinferError as error:
            said.pop()
            click.echo(f"Error: {one_line(error)}", err=True)
        except KeyboardInterrupt:
            said.pop()


def _read_line() -> str:
    with suppress(ImportError):
        import readline  # noqa: F401  # gives input() editing and a history
    try:
        return input("> ").strip()
    except (EOFError, KeyboardInterrupt):
        click.echo()
        return ""
