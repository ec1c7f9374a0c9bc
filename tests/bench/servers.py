"""Real servers inside a test's event loop, and jobs that load them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.supervisor.servers import serving
from worker.fake.behaviour import Behaviour
from worker.fake.server import FakeEngine
from xinfer.bench.job import Job
from xinfer.bench.plan import Level, Plan
from xinfer.bench.progress import Progress
from xinfer.bench.result import Result
from xinfer.bench.target import Server
from xinfer.bench.workload import Workload
from xinfer.errors import ModelOverloaded


@asynccontextmanager
async def engine(uid: str = "m", **behaviour: Any) -> AsyncIterator[tuple[str, FakeEngine]]:
    """A fake engine, and the URL that it is at."""
    fake = FakeEngine(uid, 4096, Behaviour(**behaviour))
    async with serving(fake.app()) as url:
        yield url, fake


@dataclass
class CountingEngine(FakeEngine):
    """A fake engine that writes down what it is asked and has vLLM's counters, a word for a token; it counts late."""

    counts_after_s: float = 0.1
    bodies: list[dict[str, Any]] = field(default_factory=list)
    most_at_once: int = 0
    queries: int = 0
    hits: int = 0
    _cached: list[list[str]] = field(default_factory=list)

    def app(self) -> Starlette:
        app = super().app()
        app.add_route("/metrics", self.metrics)
        return app

    async def generate(self, request: Request) -> Response:
        self.bodies.append(await request.json())
        self.most_at_once = max(self.most_at_once, len(self.bodies) - self.served - self.aborted)
        asyncio.get_running_loop().call_later(self.counts_after_s, self._count, words(self.bodies[-1]))
        return await super().generate(request)

    async def metrics(self, request: Request) -> Response:
        facts = {"prompt_tokens": self.queries, "prefix_cache_queries": self.queries, "prefix_cache_hits": self.hits}
        labels = '{engine="0",model_name="m"}'
        return PlainTextResponse("".join(f"vllm:{name}_total{labels} {value}.0\n" for name, value in facts.items()))

    def _count(self, prompt: list[str]) -> None:
        self.queries += len(prompt)
        self.hits += max((_alike(prompt, other) for other in self._cached), default=0)
        self._cached.append(prompt)


def words(body: dict[str, Any]) -> list[str]:
    """A chat's prompt."""
    return [word for message in body["messages"] for word in message["content"].split()]


def _alike(one: list[str], other: list[str]) -> int:
    """How many words of both are the same from the beginning on."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (ours, theirs) in pairs if ours != theirs), min(len(one), len(other)))


@asynccontextmanager
async def counting_engine(**behaviour: Any) -> AsyncIterator[tuple[str, CountingEngine]]:
    """A counting engine, and the URL that it is at."""
    fake = CountingEngine("m", 4096, Behaviour(**behaviour))
    async with serving(fake.app()) as url:
        yield url, fake


class EveryOtherRefused:
    """Middleware that answers every second generation with 429."""

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._numbers = app, itertools.count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or next(self._numbers) % 2 == 0:
            await self._app(scope, receive, send)
            return
        error = ModelOverloaded("full")
        await JSONResponse(error.body(), error.status)(scope, receive, send)


def job(
    *urls: str,
    plan: dict[str, Any] | None = None,
    watched: dict[str, list[int]] | None = None,
    engines: tuple[str, ...] = (),
    **work: Any,
) -> Job:
    """Loads one server, or two in turn, at one stream unless the plan says otherwise."""
    servers = {side: Server(url) for side, url in zip("ab", urls, strict=False)}
    asked = Plan(**{"levels": (Level("concurrency", 1),), "requests": 3, "warm_up": 1, "timeout_s": 20, **(plan or {})})
    workload = Workload(**{"seed": 1, "prompt_tokens": 16, "output_tokens": 8, **work})
    return Job(asked, workload, servers, {}, watched or {}, engines)


async def measure(*urls: str, **asked: Any) -> Result:
    """Run the job in this loop."""
    what = job(*urls, **asked)
    return await what.measure(what.watched, Progress(live=False))
