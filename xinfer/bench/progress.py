"""Tells on stderr how far a run is: a line for each leg, which moves while it runs if somebody can see it move."""

from __future__ import annotations

import sys
from time import perf_counter

import click

from xinfer.bench.figures import Figures

_PERIOD_S = 0.5
_ERASE = "\r\033[K"


class Progress:
    """Quiet between two requests that end within half a second of each other: the generator has other things to do."""

    def __init__(self, live: bool | None = None) -> None:
        self._live = sys.stderr.isatty() if live is None else live
        self._title = ""
        self._done = 0
        self._total = 0
        self._shown_s = 0.0

    def begin(self, title: str, total: int | None) -> None:
        """A leg or a warm-up begins; ``total`` is how many requests it will have, if that is known."""
        self._title = title
        self._done = 0
        self._total = total or 0
        self._show()

    def advance(self) -> None:
        self._done += 1
        if self._live and perf_counter() - self._shown_s > _PERIOD_S:
            self._show()

    def end(self, found: Figures) -> None:
        """The leg is over; its line stays."""
        rate = f"{found.tokens_per_s:.1f} tokens/s, {found.requests_per_s:.2f} requests/s"
        latency = found.ttft_ms or found.e2e_ms
        name = "TTFT" if found.ttft_ms else "answer"
        median = f", {name} p50 {latency.p50:.1f} ms" if latency else ""
        failed = sum(found.errors.values())
        errors = f", {failed} failed" if failed else ""
        click.echo(f"{self._erase}{self._title}: {rate}{median}{errors}", err=True)

    def clear(self) -> None:
        """Take away a line that did not end."""
        click.echo(self._erase, nl=False, err=True)

    @property
    def _erase(self) -> str:
        if self._live:
            return _ERASE
        return ""

    def _show(self) -> None:
        self._shown_s = perf_counter()
        if self._live:
            of = f" of {self._total}" if self._total else ""
            click.echo(f"{_ERASE}{self._title}: {self._done}{of} requests", nl=False, err=True)
