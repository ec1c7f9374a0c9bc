"""The client of Xinference, blocking and asyncio: each test takes its turn with both."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from typing import Any

import pytest
from shared import ENDPOINT, MODEL
from xinference_client import AsyncRESTfulClient, RESTfulClient


class Awaited:
    """``wrapped``, a client or a handle, with every method to be awaited, whether it is one of asyncio or blocks."""

    def __init__(self, wrapped: Any) -> None:
        self.wrapped = wrapped

    def __getattr__(self, name: str) -> Any:
        """The method of that name."""
        method = getattr(self.wrapped, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result

        return call


@pytest.fixture(params=[RESTfulClient, AsyncRESTfulClient], ids=["blocking", "asyncio"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """A client of the cluster, of either kind."""
    client = Awaited(request.param(ENDPOINT))
    yield client
    await client.close()


@pytest.fixture
async def model(client: Any) -> AsyncIterator[Any]:
    """The handle that the client gives for tiny-chat."""
    handle = Awaited(await client.get_model(MODEL))
    yield handle
    await handle.close()
