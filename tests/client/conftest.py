from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.client.scripted_server import ScriptedServer
from xinfer.client import (
    AsyncRESTfulClient,
    AsyncRESTfulGenerateModelHandle,
    AsyncStream,
    RESTfulClient,
)

_END = object()


class Blocking:
    """An awaited client, handle or stream that can be used like the blocking one, so that one test serves both."""

    def __init__(self, inner: Any, runner: asyncio.Runner) -> None:
        self._inner, self._runner = inner, runner

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        if not inspect.iscoroutinefunction(attribute):
            return attribute
        return lambda *args, **kwargs: self._wrapped(self._runner.run(attribute(*args, **kwargs)))

    def _wrapped(self, result: Any) -> Any:
        kinds = AsyncRESTfulGenerateModelHandle | AsyncStream
        return Blocking(result, self._runner) if isinstance(result, kinds) else result

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        async def step() -> Any:
            return await anext(self._inner, _END)

        event = self._runner.run(step())
        if event is _END:
            raise StopIteration
        return event


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    server.reply("GET", "/v1/models/m", {"model_type": "LLM", "model_ability": ["chat", "generate"]})
    yield server
    server.close()


@pytest.fixture(params=["blocking", "awaited"])
def make_client(request: pytest.FixtureRequest, server: ScriptedServer) -> Iterator[Callable[..., Any]]:
    """Makes clients of both kinds; all are closed in the end."""
    with asyncio.Runner() as runner:
        made: list[Any] = []

        def make(base_url: str | None = None, *args: Any, **kwargs: Any) -> Any:
            kind = RESTfulClient if request.param == "blocking" else AsyncRESTfulClient
            client: Any = kind(base_url or server.url, *args, **kwargs)
            made.append(client if request.param == "blocking" else Blocking(client, runner))
            return made[-1]

        yield make
        for client in made:
            client.close()


@pytest.fixture
def client(make_client: Callable[..., Any]) -> Any:
    return make_client()
