"""REST: what changes about models as server-sent events, for pages that show them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from supervisor.access.access import Access
from supervisor.access.caller import Caller, visible
from supervisor.api.models import ModelsApi
from supervisor.api.parameters import Requester
from supervisor.model_table import LiveTable
from xinfer.errors import ModelNotFound
from xinfer.messages import ModelState, ModelStatus

_HEARTBEAT_S = 15.0
# A launch's bytes and times, while one is under way.
_PROGRESS_PERIOD_S = 1.0
# Changes that come one after the other, as in a launch of many replicas, go out together.
_TOGETHER_S = 0.1
_DESCRIPTION = (
    "Event `models` has `changed`, models as `GET /v1/models/instances` has them, and `gone`, UIDs; the first one has all. "
    "Event `progress` has the progress of each launch under way, by UID. Event `stopping` says that the cluster is stopped."
)
_EVENT_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": _DESCRIPTION, "content": {"text/event-stream": {"schema": {"type": "string"}}}}
}


class EventStreamApi:
    """``GET /v1/events``. A stream costs something only when the table changes."""

    def __init__(self, models: LiveTable, api: ModelsApi, access: Access | None = None) -> None:
        self._models = models
        self._api = api
        self._access = access

    def add_routes(self, routes: APIRouter) -> None:
        """Add the route of the stream."""
        routes.add_api_route(
            "/v1/events",
            self.follow,
            methods=["GET"],
            summary="Changes of models, as server-sent events.",
            responses=_EVENT_STREAM,
            response_class=StreamingResponse,
        )

    async def follow(self, caller: Requester) -> StreamingResponse:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._events(caller), media_type="text/event-stream", headers=headers)

    async def _events(self, caller: Caller | None) -> AsyncIterator[bytes]:
        yield b"retry: 2000\n\n"
        seen: Mapping[str, ModelStatus] | None = None
        last: Mapping[str, ModelStatus] = {}
        said_at = time.monotonic()
        while True:
            if self._models.stops_at is not None:
                # A stream that stays open would keep Serve waiting for it.
                yield _event("stopping", {})
                return
            if self._access and caller and not self._access.guard.is_valid(caller):
                # Expired or revoked meanwhile; the next request says so.
                return
            table = self._models.all
            if seen is None or table is not last:
                now = {model.spec.uid: model for model in visible(table.values(), caller)}
                change = await self._change(caller, seen, now)
                if change:
                    yield change
                    said_at = time.monotonic()
                seen, last = now, table
            launches = [uid for uid, model in seen.items() if model.state in (ModelState.PENDING, ModelState.LAUNCHING)]
            if launches:
                yield _event("progress", await self._progress(launches))
                said_at = time.monotonic()
            elif time.monotonic() - said_at >= _HEARTBEAT_S:
                # Shows that the client is still there, and the client that the server is.
                yield b": \n\n"
                said_at = time.monotonic()
            await self._wait(table, _PROGRESS_PERIOD_S if launches else _HEARTBEAT_S)

    async def _change(
        self, caller: Caller | None, seen: Mapping[str, ModelStatus] | None, now: Mapping[str, ModelStatus]
    ) -> bytes | None:
        if seen is None:
            return _event("models", {"changed": await self._api.instances(caller), "gone": []})
        changed: list[Any] = []
        for uid, model in now.items():
            if model != seen.get(uid):
                changed += await self._api.instances(caller, model_uid=uid)
        shown = {each["model_uid"] for each in changed}
        gone = [uid for uid in seen if uid not in now or (now[uid] != seen[uid] and uid not in shown)]
        if changed or gone:
            return _event("models", {"changed": changed, "gone": gone})
        return None

    async def _progress(self, uids: list[str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for uid in uids:
            with contextlib.suppress(ModelNotFound):
                found[uid] = await self._api.progress(uid)
        return found

    async def _wait(self, seen: Mapping[str, ModelStatus], timeout_s: float) -> None:
        """Until the registry has said something, which it does every few seconds even if nothing has changed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._models.wait_until(lambda table: table is not seen)
                await asyncio.sleep(_TOGETHER_S)


def _event(name: str, data: Mapping[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()
