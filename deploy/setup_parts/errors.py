"""The ways in which the set-up fails."""

from __future__ import annotations


class CommandFailed(Exception):
    """A command ended with an error; `output` is what it wrote."""

    def __init__(self, output: str) -> None:
        super().__init__(output[-2000:])
        self.output = output


class SetupFailed(Exception):
    """The set-up cannot go on; the message says why and what to do, in words for the person who started it."""
