"""Has ``/health`` speak for the engine core, too: vLLM's own only knows whether the core's process has ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import Any, Protocol

import psutil
from starlette.types import ASGIApp, Receive, Scope, Send

from worker.middleware.asgi import send_json
from xinfer.settings import ENGINE_VARIABLES, EngineSettings

_PATH = "/health"
_WORKING_FACTOR = 8
_WORKING_CORES = 0.2
_STUCK = {"message": "The engine core does not respond.", "type": "server_error", "code": 503}


class EngineClient(Protocol):
    """The part of vLLM's client of the engine core that is used here."""

    async def is_sleeping(self) -> bool:
        """Answered by the core itself, between two of its steps."""


class CoreHealthMiddleware:
    """Answers ``/health`` with 503 while the engine core has left a call unanswered for too long, 15 s by default.

    A core that is at work is given eight times as long: the first use of some feature has it compile kernels within one step.
    One call is under way at a time, so that a core that is stuck does not gather more of them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._timeout_s = _timeout_s()
        self._call: asyncio.Task[Any] | None = None
        self._called_at = 0.0
        self._baseline: tuple[float, float] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == _PATH and self._is_stuck(_engine_of(scope)):
            await send_json(send, 503, {"error": _STUCK})
        else:
            await self._app(scope, receive, send)

    def _is_stuck(self, engine: EngineClient | None) -> bool:
        if engine is None:
            return False
        now = time.monotonic()
        if self._call is None or self._call.done():
            # Whether the core has died is seen by vLLM itself.
            if self._call and not self._call.cancelled():
                self._call.exception()
            self._call = asyncio.ensure_future(engine.is_sleeping())
            self._called_at = now
            self._baseline = None
            return False
        if self._baseline is None:
            self._baseline = (now, cpu_seconds_of_children())
            return False
        waited_s = now - self._called_at
        if waited_s <= self._timeout_s:
            return False
        return waited_s > _WORKING_FACTOR * self._timeout_s or not self._is_at_work(now, *self._baseline)

    def _is_at_work(self, now: float, since: float, cpu_s_then: float) -> bool:
        """True if the processes of the engine have been using CPU time. Waiting for each other, they use next to none."""
        return cpu_seconds_of_children() - cpu_s_then > _WORKING_CORES * (now - since)


def cpu_seconds_of_children() -> float:
    """CPU time of every living descendant of this process: the engine core, its workers, and compilers that they run."""
    total = 0.0
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            times = child.cpu_times()
            total += times.user + times.system
    return total


def _engine_of(scope: Scope) -> EngineClient | None:
    state = getattr(scope.get("app"), "state", None)
    engine: EngineClient | None = getattr(state, "engine_client", None)
    return engine


def _timeout_s() -> float:
    return float(os.environ.get(ENGINE_VARIABLES["core_timeout_s"]) or EngineSettings().core_timeout_s)
