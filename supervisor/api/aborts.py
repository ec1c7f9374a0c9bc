"""REST: giving up a request by the ``request_id`` that its body had."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as Path

from supervisor.gateway.request_body import parse_object, read_body
from supervisor.gateway.upstream import Upstream
from supervisor.model_table import LiveTable
from supervisor.translate.engine_request import EngineRequest
from xinfer.errors import InvalidBody
from xinfer.messages import ReplicaReport
from xinfer.settings import GatewaySettings
from xinfer.wire.paths import ABORT_PATH

_DEADLINE_S = 10.0
_BLOCK_S = 30
_LONGEST_BLOCK_S = 3600
_DONE = "DONE"
_NOT_FOUND = "NOT_FOUND"


class AbortApi:
    """Handler of ``/v1/models/{uid}/requests/{request_id}/abort``: asks every replica, since any may have the request."""

    def __init__(self, settings: GatewaySettings, models: LiveTable, upstream: Callable[[], Upstream]) -> None:
        self._settings = settings
        self._models = models
        self._upstream = upstream

    def paths(self) -> list[Path]:
        return [Path("/v1/models/{uid}/requests/{request_id:path}/abort", self.abort, methods=["POST"])]

    async def abort(self, request: Request) -> Response:
        """``DONE`` if a request of that id was under way; its id is refused for the next ``block_duration`` seconds."""
        raw = await read_body(request.scope, request.receive, self._settings.max_body_bytes)
        block_s = _block_s(raw)
        replicas = self._models.get(request.path_params["uid"]).targets
        wish = {"request_id": request.path_params["request_id"], "block_duration": block_s}
        order = EngineRequest(ABORT_PATH, msgspec.json.encode(wish), {"content-type": "application/json"}, False)
        said = await asyncio.gather(*(self._ask(replica, order) for replica in replicas))
        return JSONResponse({"msg": _DONE if _DONE in said else _NOT_FOUND})

    async def _ask(self, replica: ReplicaReport, order: EngineRequest) -> str:
        """What one replica says; one that cannot be reached has no requests to abort."""
        try:
            async with asyncio.timeout(_DEADLINE_S):
                answer = await self._upstream().send(str(replica.address), order)
                try:
                    return str(msgspec.json.decode(answer.first + await answer.response.read())["msg"])
                finally:
                    answer.close()
        except (aiohttp.ClientError, TimeoutError):
            return _NOT_FOUND


def _block_s(raw: bytes) -> float:
    value = parse_object(raw).get("block_duration") if raw else None
    if value is None:
        return _BLOCK_S
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LONGEST_BLOCK_S:
        raise InvalidBody(
            f"block_duration has to be a number of seconds, 0 to {_LONGEST_BLOCK_S}.", param="block_duration"
        )
    return value
