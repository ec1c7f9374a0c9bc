"""Tells on stderr how far a run is, as one JSON object per line, for a program that watches it."""

from __future__ import annotations

import json
from dataclasses import asdict
from time import perf_counter
from typing import Any

import click

from xinfer.bench.metrics import LegMetrics
from xinfer.bench.progress import Progress

PREFIX = "xinfer-bench "
"""What each line begins with: warnings and errors are on stderr as well."""
_PERIOD_S = 0.5


class ProgressEvents(Progress):
    """``begin`` with the step and its number of requests, ``done`` with those that have ended, ``leg`` with metrics."""

    def __init__(self) -> None:
        super().__init__(live=False)
        self._told_s = 0.0

    def begin(self, title: str, total: int | None) -> None:
        super().begin(title, total)
        self._tell(event="begin", step=title, total=total or 0)

    def advance(self) -> None:
        super().advance()
        # The generator has other things to do.
        if perf_counter() - self._told_s > _PERIOD_S:
            self._tell(event="done", done=self._done)

    def end(self, leg: LegMetrics) -> None:
        self._tell(event="leg", metrics=asdict(leg))

    def clear(self) -> None:
        """Nothing is on the screen."""

    def _tell(self, **event: Any) -> None:
        self._told_s = perf_counter()
        click.echo(PREFIX + json.dumps(event), err=True)
