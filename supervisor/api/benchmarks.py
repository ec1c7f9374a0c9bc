"""REST: runs of ``xinfer bench`` on the head, one at a time, and their progress as server-sent events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

from supervisor.access.access import set_target
from supervisor.access.caller import Caller
from supervisor.api.lookups import known_model
from supervisor.api.parameters import JsonObject, Requester, describe_body, validate
from supervisor.api.schemas import Result
from supervisor.model_table import LiveTable
from supervisor.nodes import on_node as nodes
from xinfer.bench.profiles import PROFILES
from xinfer.errors import BadRequest, Conflict, NotFound, Unavailable
from xinfer.messages import BenchmarkRun, BenchmarkState

_HEARTBEAT_S = 2.0
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Event `run` has the run whenever it has changed; the stream ends with the run.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


class BenchmarkRequest(BaseModel):
    """What to load, and how."""

    model_config = ConfigDict(extra="forbid")

    model_uid: str = Field(max_length=200)
    profile: str = Field("quick", description=f"One of {', '.join(PROFILES)}.")


class ProfileReply(TypedDict):
    """A load that can be chosen: streams at the same time, one level after the other, and tokens of each request."""

    name: str
    description: str
    levels: list[int]
    prompt_tokens: int
    output_tokens: int
    turns: int


class BenchmarkReply(TypedDict):
    """A run. ``legs`` are the metrics of the levels that are over; ``result`` is what ``xinfer bench --json`` writes."""

    id: str
    model_uid: str
    profile: str
    levels: list[int]
    started_by: str
    state: Literal["running", "done", "failed", "cancelled"]
    began_at: float
    ended_at: float | None
    step: str
    requests_done: int
    requests_total: int
    legs: list[dict[str, Any]]
    result: dict[str, Any] | None
    error: str | None


class BenchmarkList(TypedDict):
    """The latest runs first, without their results, and the profiles there are."""

    object: Literal["list"]
    data: list[BenchmarkReply]
    profiles: list[ProfileReply]


class BenchmarksApi:
    """Handlers of ``/v1/benchmarks``. The head's agent has the runs; supervisors keep nothing of them."""

    def __init__(self, models: LiveTable) -> None:
        self._models = models

    def add_routes(self, routes: APIRouter) -> None:
        """Add the routes of these handlers."""
        routes.add_api_route("/v1/benchmarks", self.list_runs, methods=["GET"], summary="The latest benchmarks.")
        routes.add_api_route(
            "/v1/benchmarks",
            self.start,
            methods=["POST"],
            summary="Load a model with a profile, and measure it.",
            openapi_extra=describe_body(BenchmarkRequest),
        )
        routes.add_api_route("/v1/benchmarks/{run_id}", self.show, methods=["GET"], summary="A benchmark.")
        routes.add_api_route(
            "/v1/benchmarks/{run_id}",
            self.end,
            methods=["DELETE"],
            summary="Cancel a benchmark that is under way; forget one that has ended.",
        )
        routes.add_api_route(
            "/v1/benchmarks/{run_id}/events",
            self.follow,
            methods=["GET"],
            summary="A benchmark as it goes on, as server-sent events.",
            responses=_EVENTS,
            response_class=StreamingResponse,
        )

    async def list_runs(self, caller: Requester) -> BenchmarkList:
        found: list[BenchmarkRun] = await nodes.on_node(await _head(), "benchmarks")
        shown = [_render(run) for run in found if _may_see(caller, run)]
        profiles: list[ProfileReply] = [
            {
                "name": each.name,
                "description": each.description,
                "levels": list(each.levels),
                "prompt_tokens": each.prompt_tokens,
                "output_tokens": each.output_tokens,
                "turns": each.turns,
            }
            for each in PROFILES.values()
        ]
        return {"object": "list", "data": [{**each, "result": None} for each in shown], "profiles": profiles}

    async def start(self, request: Request, caller: Requester, body: JsonObject) -> BenchmarkReply:
        """One run at a time, of 15 minutes at most. With keys its requests are the caller's: they count, and are limited."""
        asked = validate(BenchmarkRequest, body)
        if caller:
            caller.check_model(asked.model_uid)
        set_target(request.scope, asked.model_uid[:100])
        known_model(self._models, asked.model_uid)
        if asked.profile not in PROFILES:
            raise BadRequest(
                f"There is no profile {asked.profile[:100]!r}. There are {', '.join(PROFILES)}.", param="profile"
            )
        key = caller.key if caller else None
        run: BenchmarkRun | None = await nodes.on_node(
            await _head(), "start_benchmark", asked.model_uid, asked.profile, key
        )
        if run is None:
            raise Conflict("Another benchmark is under way, and two would measure each other.")
        return _render(run)

    async def show(self, run_id: str, caller: Requester) -> BenchmarkReply:
        return _render(await self._find(run_id, caller))

    async def end(self, run_id: str, caller: Requester) -> Result:
        await self._find(run_id, caller)
        await nodes.on_node(await _head(), "end_benchmark", run_id)
        return {"result": True}

    async def follow(self, run_id: str, caller: Requester) -> StreamingResponse:
        run = await self._find(run_id, caller)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._events(run), media_type="text/event-stream", headers=headers)

    async def _events(self, run: BenchmarkRun) -> AsyncIterator[bytes]:
        head = await _head()
        yield _event(run)
        while run.state is BenchmarkState.RUNNING and self._models.stops_at is None:
            try:
                latest: BenchmarkRun | None = await nodes.on_node(head, "benchmark", run.id, run.version, _HEARTBEAT_S)
            except Unavailable:
                # The browser asks again.
                return
            if latest is None:
                return
            yield b": \n\n" if latest.version == run.version else _event(latest)
            run = latest

    async def _find(self, run_id: str, caller: Caller | None) -> BenchmarkRun:
        run: BenchmarkRun | None = await nodes.on_node(await _head(), "benchmark", run_id, -1, 0.0)
        if run is None or not _may_see(caller, run):
            raise NotFound(f"There is no benchmark {run_id[:100]!r}. GET /v1/benchmarks lists them.")
        return run


async def _head() -> nodes.Node:
    return (await nodes.alive(nodes.head_address()))[0]


def _may_see(caller: Caller | None, run: BenchmarkRun) -> bool:
    return caller is None or caller.may_use(run.model)


def _render(run: BenchmarkRun) -> BenchmarkReply:
    profile = PROFILES.get(run.profile)
    return {
        "id": run.id,
        "model_uid": run.model,
        "profile": run.profile,
        "levels": list(profile.levels) if profile else [],
        "started_by": run.started_by,
        "state": run.state.value,
        "began_at": run.began_at,
        "ended_at": run.ended_at,
        "step": run.step,
        "requests_done": run.requests_done,
        "requests_total": run.requests_total,
        "legs": [dict(leg) for leg in run.legs],
        "result": _plain(run.result),
        "error": run.error,
    }


def _plain(result: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return dict(result) if result is not None else None


def _event(run: BenchmarkRun) -> bytes:
    return f"event: run\ndata: {json.dumps(_render(run), separators=(',', ':'))}\n\n".encode()
