"""REST: giving up a request by the ``request_id`` that its body had."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import msgspec
from fastapi import APIRouter

from supervisor.api.parameters import OptionalJsonObject, Requester
from supervisor.api.schemas import Aborted
from supervisor.gateway.upstream import Upstream
from supervisor.model_table import LiveTable
from supervisor.translate.engine_request import EngineRequest
from xinfer.errors import InvalidBody
from xinfer.messages import ReplicaReport
from xinfer.wire.paths import ABORT_PATH

_DEADLINE_S = 10.0
_BLOCK_S = 30
_LONGEST_BLOCK_S = 3600
_DONE = "DONE"
_NOT_FOUND = "NOT_FOUND"
_BLOCK_DURATION = {
    "type": ["number", "null"],
    "default": _BLOCK_S,
    "description": "Seconds for which the id is refused.",
}
_BODY = {
    "requestBody": {
        "content": {
            "application/json": {"schema": {"type": "object", "properties": {"block_duration": _BLOCK_DURATION}}}
        }
    }
}


class AbortApi:
    """Handler of ``/v1/models/{uid}/requests/{request_id}/abort``: asks every replica, since any may have the request."""

    def __init__(self, models: LiveTable, upstream: Upstream) -> None:
        self._models = models
        self._upstream = upstream

    def add_routes(self, routes: APIRouter) -> None:
        """Add the routes of these handlers."""
        routes.add_api_route(
            "/v1/models/{uid}/requests/{request_id:path}/abort",
            self.abort,
            methods=["POST"],
            summary="Abort a request.",
            openapi_extra=_BODY,
        )

    async def abort(self, uid: str, request_id: str, body: OptionalJsonObject, caller: Requester) -> Aborted:
        """``DONE`` if a request of that id was under way; its id is refused for the next ``block_duration`` seconds."""
        block_s = _block_s(body)
        if caller:
            request_id = caller.tenant.request_id(request_id)
        replicas = self._models.get(uid).targets
        wish = {"request_id": request_id, "block_duration": block_s}
        order = EngineRequest(ABORT_PATH, msgspec.json.encode(wish), {"content-type": "application/json"}, False)
        said = await asyncio.gather(*(self._ask(replica, order) for replica in replicas))
        if _DONE in said:
            return {"msg": "DONE"}
        return {"msg": "NOT_FOUND"}

    async def _ask(self, replica: ReplicaReport, order: EngineRequest) -> str:
        """What one replica says; one that cannot be reached has no requests to abort."""
        try:
            async with asyncio.timeout(_DEADLINE_S):
                answer = await self._upstream.send(str(replica.address), order)
                try:
                    return str(msgspec.json.decode(answer.first + await answer.response.read())["msg"])
                finally:
                    answer.close()
        except (aiohttp.ClientError, TimeoutError):
            return _NOT_FOUND


def _block_s(body: dict[str, Any]) -> float:
    value = body.get("block_duration")
    if value is None:
        return _BLOCK_S
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LONGEST_BLOCK_S:
        raise InvalidBody(
            f"block_duration has to be a number of seconds, 0 to {_LONGEST_BLOCK_S}.", param="block_duration"
        )
    return value
