"""Ctrl-C at a moment when the command does not know yet what it would have to clean up."""

from __future__ import annotations

import signal
from types import TracebackType
from typing import Self


class HeldInterrupt:
    """A block that the first Ctrl-C does not break off: ``check`` raises it afterwards. A second one breaks the block off.

    Where Ctrl-C is ignored, or handled by somebody else, nothing changes.
    """

    def __init__(self) -> None:
        self._came = False
        self._holds = signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def check(self) -> None:
        """Raise ``KeyboardInterrupt`` if it has come."""
        if self._came:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        if self._holds:
            signal.signal(signal.SIGINT, self._hold)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._holds:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _hold(self, *_: object) -> None:
        self.check()
        self._came = True
