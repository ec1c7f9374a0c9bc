"""Parses the options of a launch that xinfer does not have: they go to the engine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

_NAMED_VALUES = {"true": True, "false": False, "none": None, "null": None}


def parse(words: Sequence[str]) -> tuple[str | None, dict[str, Any]]:
    """The model's name, if it comes first, and the engine's arguments by their Python names.

    ``--key value`` and ``--key=value`` set a value, ``--key`` sets True. Anything else is a usage error.
    """
    rest = list(words)
    if rest and not rest[0].startswith("-"):
        name = rest.pop(0)
    else:
        name = None
    options: dict[str, Any] = {}
    while rest:
        key, equals, text = rest.pop(0).partition("=")
        if not key.startswith("--") or key == "--":
            raise unexpected(key)
        if not equals:
            # Two dashes, as a value may be a negative number.
            if rest and not rest[0].startswith("--"):
                text = rest.pop(0)
            else:
                text = "true"
        options[key[2:].replace("-", "_")] = value(text)
    return name, options


def unexpected(word: str) -> click.UsageError:
    """The error for a word that is not an option."""
    return click.UsageError(f"Got unexpected argument {word!r}; options of the engine look like --key value.")


def value(text: str) -> Any:
    """The value in ``text``: a bool, None, a number, a JSON object or list, else the text itself."""
    if text.lower() in _NAMED_VALUES:
        return _NAMED_VALUES[text.lower()]
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    if text.startswith(("{", "[")):
        return _json(text)
    return text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"Not JSON: {text} ({error})") from None
