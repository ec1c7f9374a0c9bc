"""Lets chunks of many streams arrive together, so that one wake-up serves several of them."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

_ENOUGH = 32  # chunks in one go: there is no need to wait for more
_FEW_STREAMS = 8  # below it nothing is gained, and a sole reader would lose


class Coalescer:
    """Holds the event loop back for a moment after it has forwarded chunks, while many streams are open.

    An engine writes the tokens of all its streams after each step, one after the other, some 0.1 ms apart; to wake up for
    each costs several times what forwarding it does, in this process and in those on either side. So does an interrupt per
    packet, and this is the remedy of network cards: interrupt coalescing (``rx-usecs`` of ethtool(8)). The loop sleeps on
    purpose: awaiting a timer in every stream would be the wake-ups again. docs/performance.md has what it gains.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._streams = 0
        self._chunks = 0
        self._is_set = False

    def __enter__(self) -> Coalescer:
        """One more stream is open, until the block is left."""
        self._streams += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._streams -= 1

    def forwarded(self) -> None:
        """A chunk has gone out; when those that are there already have, too, the loop waits for the next ones to gather."""
        if self._streams < _FEW_STREAMS:
            return
        self._chunks += 1
        if not self._is_set:
            self._is_set = True
            asyncio.get_running_loop().call_soon(self._hold)

    def _hold(self) -> None:
        chunks, self._chunks, self._is_set = self._chunks, 0, False
        if self._window_s and chunks < _ENOUGH:
            time.sleep(self._window_s)
