"""Shows on stderr how far a run is: a line for each leg, updated meanwhile if stderr is a terminal."""

from __future__ import annotations

import sys
from time import perf_counter

import click

from xinfer.bench.metrics import LegMetrics

_PERIOD_S = 0.5
_ERASE = "\r\033[K"


class Progress:
    """The line of the leg that is running."""

    def __init__(self, live: bool | None = None) -> None:
        if live is None:
            live = sys.stderr.isatty()
        self._live = live
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
        """One more request has ended."""
        self._done += 1
        # At most twice a second: the generator has other things to do.
        if self._live and perf_counter() - self._shown_s > _PERIOD_S:
            self._show()

    def end(self, leg: LegMetrics) -> None:
        """The leg is over; its line stays."""
        rates = f"{leg.tokens_per_s:.1f} tokens/s, {leg.requests_per_s:.2f} requests/s"
        line = f"{self._erase}{self._title}: {rates}"
        if leg.ttft_ms:
            line += f", TTFT p50 {leg.ttft_ms.p50:.1f} ms"
        elif leg.e2e_ms:
            line += f", answer p50 {leg.e2e_ms.p50:.1f} ms"
        failed = sum(leg.errors.values())
        if failed:
            line += f", {failed} failed"
        click.echo(line, err=True)

    def clear(self) -> None:
        """Remove the line of a leg that did not end."""
        click.echo(self._erase, nl=False, err=True)

    @property
    def _erase(self) -> str:
        if self._live:
            return _ERASE
        return ""

    def _show(self) -> None:
        self._shown_s = perf_counter()
        if not self._live:
            return
        done = f"{self._done}"
        if self._total:
            done += f" of {self._total}"
        click.echo(f"{_ERASE}{self._title}: {done} requests", nl=False, err=True)
