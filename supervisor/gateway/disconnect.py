"""Notices that the client has left, and ends the work that was for it."""

from __future__ import annotations

import asyncio
from types import TracebackType

from starlette.types import Receive

from supervisor.gateway.request_body import ClientGone


class DisconnectWatch:
    """Raises ``ClientGone`` out of its block, wherever that waits, as soon as the client has closed its connection."""

    __slots__ = ("_gone", "_receive", "_task", "_watcher")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._gone = False

    def over(self) -> None:
        """The last piece of the answer is about to go out: from here on a closed connection is no news."""
        self._watcher.cancel()

    async def __aenter__(self) -> DisconnectWatch:
        task = asyncio.current_task()
        assert task is not None, "a client is watched from inside a task"
        self._task = task
        self._watcher = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # And not awaited: all it has left to do is to end.
        self._watcher.cancel()
        if self._gone and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise ClientGone from error

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._task.cancel()
