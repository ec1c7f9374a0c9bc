"""A model's answer on the terminal, as it comes."""

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
    """Some text of an answer, or of the reasoning before it."""

    text: str
    reasoning: bool = False


def pieces(reply: Mapping[str, Any] | Stream) -> Iterator[Piece]:
    """The texts of a chat's or a completion's reply, whole or streamed; closed early, it closes the stream."""
    if isinstance(reply, Mapping):
        yield from _pieces(reply)
        return
    with closing(reply):
        for chunk in reply:
            yield from _pieces(chunk)


def _pieces(reply: Mapping[str, Any]) -> Iterator[Piece]:
    for choice in reply.get("choices", ())[:1]:
        said = choice.get("delta") or choice.get("message") or {}
        reasoning = said.get("reasoning_content") or said.get("reasoning")
        if reasoning:
            yield Piece(reasoning, reasoning=True)
        text = said.get("content") or choice.get("text")
        if text:
            yield Piece(text)


def show(parts: Iterable[Piece], show_reasoning: bool) -> str:
    """Print an answer, its reasoning dimmed before it, and return the answer alone."""
    answer = ""
    reasoned = False
    try:
        for part in parts:
            if not part.reasoning:
                _echo_answer(part.text, first=not answer, reasoned=reasoned)
                answer += part.text
            elif show_reasoning:
                click.secho(part.text, dim=True, nl=False)
                reasoned = True
    finally:
        click.echo()
    return answer


def _echo_answer(text: str, first: bool, reasoned: bool) -> None:
    if first and reasoned:
        click.echo("\n")
    # Models begin the text after their reasoning with blank lines.
    click.echo(text.lstrip("\n") if first else text, nl=False)
