"""A conversation on the terminal, line by line."""

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
    respond: Callable[[list[Message]], Mapping[str, Any] | Stream], read_line: Callable[[], str] | None = None
) -> None:
    """Read messages and print the responses until an empty line or the end of input.

    An error is one line, and Ctrl-C stops a response; the conversation goes on without that message.
    """
    messages: list[Message] = []
    while text := (read_line or _read_line)():
        messages.append({"role": "user", "content": text})
        try:
            text = show(pieces(respond(messages)), show_reasoning=sys.stdout.isatty())
        except XinferError as error:
            # Many chat templates refuse two messages of the user in a row.
            messages.pop()
            click.echo(f"Error: {one_line(error)}", err=True)
        except KeyboardInterrupt:
            messages.pop()
        else:
            messages.append({"role": "assistant", "content": text})


def _read_line() -> str:
    # Some builds of Python have no readline.
    with suppress(ImportError):
        import readline  # noqa: F401  # gives input() editing and a history
    try:
        return input("> ").strip()
    except (EOFError, KeyboardInterrupt):
        click.echo()
        return ""
