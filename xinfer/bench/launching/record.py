"""Collects the samples of a run, and tells of each as it comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

import click

from xinfer.bench.launching.result import RowResult
from xinfer.bench.launching.row import ROWS, Name
from xinfer.bench.launching.sample import Sample
from xinfer.errors import XinferError

_TOLD = 400


class Record:
    """What has been found so far, for each row that was asked for."""

    def __init__(self, asked: Collection[Name]) -> None:
        self.rows = {name: RowResult(row) for name, row in ROWS.items() if name in asked}
        self.title = ""
        """Of the run that is under way."""

    def take(self, name: Name, measure: Callable[[], Sample]) -> None:
        """Measure once more. An error of the tree is a sample that is missing, and the run goes on."""
        began = time.monotonic()
        try:
            sample = measure()
        except XinferError as error:
            self.miss(name, error.message)
            return
        self.rows[name].samples.append(sample)
        told = f"{sample.value:.2f} {ROWS[name].unit}".strip()
        self._tell(f"{name}: {told} (took {time.monotonic() - began:.0f} s)")

    def miss(self, name: Name, reason: str) -> None:
        """Say why there is no sample."""
        told = _short(" ".join(reason.split()))
        self.rows[name].failures.append(told)
        self._tell(f"{name}: failed: {told}")

    def _tell(self, line: str) -> None:
        click.echo(f"{self.title}{line}", err=True)


def _short(text: str) -> str:
    """Its end, where errors have what matters."""
    if len(text) <= _TOLD:
        return text
    return f"... {text[-_TOLD:]}"
