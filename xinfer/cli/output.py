"""Prints a model's response as it arrives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from xinfer.client import Stream


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text of a response, or of the reasoning before it."""

    text: str
    reasoning: bool = False


def pieces(response: Mapping[str, Any] | Stream) -> Iterator[Piece]:
    """The texts of a chat or a completion, whole or streamed; closing the iterator closes the stream."""
    if isinstance(response, Mapping):
        yield from _pieces(response)
        return
    with closing(response):
        for chunk in response:
            yield from _pieces(chunk)


def _pieces(response: Mapping[str, Any]) -> Iterator[Piece]:
    # The last chunk of a stream may have no choices, only the usage.
    for choice in response.get("choices", ())[:1]:
        message = choice.get("delta") or choice.get("message") or {}
        # vLLM has renamed the field; servers of either version are read.
        reasoning = message.get("reasoning_content") or message.get("reasoning")
        if reasoning:
            yield Piece(reasoning, reasoning=True)
        text = message.get("content") or choice.get("text")
        if text:
            yield Piece(text)


def show(parts: Iterable[Piece], show_reasoning: bool) -> str:
    """Print a response with its reasoning dimmed before it; return the response without the reasoning."""
    shown = ""
    has_reasoning = False
    try:
        for part in parts:
            if not part.reasoning:
                _echo(part.text, first=not shown, has_reasoning=has_reasoning)
                shown += part.text
            elif show_reasoning:
                click.secho(part.text, dim=True, nl=False)
                has_reasoning = True
    finally:
        # After Ctrl-C or an error, too: the next line must not continue this one.
        click.echo()
    return shown


def _echo(text: str, first: bool, has_reasoning: bool) -> None:
    if first and has_reasoning:
        click.echo("\n")
    if first:
        # Models begin the text after their reasoning with blank lines.
        text = text.lstrip("\n")
    click.echo(text, nl=False)
