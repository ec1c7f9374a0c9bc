from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import httpx
import pytest

from supervisor.app import Supervisor
from tests.supervisor.servers import RegistryDouble, serving
from xinfer.settings import GatewaySettings


@pytest.fixture
async def registry() -> RegistryDouble:
    return RegistryDouble()


@pytest.fixture
async def gateway(registry: RegistryDouble) -> AsyncIterator[Callable[..., httpx.AsyncClient]]:
    """Makes supervisors with these settings, each as a client of it."""
    async with AsyncExitStack() as stack:

        async def make(**settings: float) -> httpx.AsyncClient:
            app = Supervisor(GatewaySettings(**settings), registry)
            url = await stack.enter_async_context(serving(app, lifespan="on"))
            return await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=10, verify=False))

        yield make


@pytest.fixture
async def http(gateway: Callable[..., httpx.AsyncClient]) -> httpx.AsyncClient:
    """A client of a supervisor with the usual settings."""
    return await gateway()
