"""Supervisors that require keys, in the test's event loop: the registry's part of keys is the real one, on a folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx

from supervisor.app import Supervisor
from supervisor.registry.access import Access
from supervisor.registry.access_actor import AccessActor
from tests.supervisor.servers import RegistryDouble, serving
from xinfer.access_settings import AccessSettings
from xinfer.api_key import digest, new_id, new_key
from xinfer.errors import Unavailable
from xinfer.messages import ApiKey, KeyLimits, KeyScope
from xinfer.settings import GatewaySettings


class Registry(AccessActor):
    """The registry's actor as far as keys go, which can be away."""

    def __init__(self, home: Path) -> None:
        self.access = Access(home, usage_days=400)
        self.away = False

    def __getattribute__(self, name: str) -> Any:
        found = object.__getattribute__(self, name)
        if name in ("access", "away") or name.startswith("_") or not object.__getattribute__(self, "away"):
            return found

        async def unavailable(*_: Any) -> Any:
            raise Unavailable("The registry is restarting.")

        return unavailable


@dataclass
class Guarded:
    """One or several supervisors over the same keys."""

    keys: Registry
    models: RegistryDouble
    apps: list[Supervisor]
    urls: list[str]
    http: httpx.AsyncClient

    async def key(self, scope: KeyScope = KeyScope.INFER, **facts: Any) -> str:
        """The text of a new key, which every supervisor knows when this returns."""
        key_id = new_id()
        text = new_key(key_id)
        limits = {name: facts.pop(name) for name in list(facts) if name in KeyLimits.__slots__}
        facts.setdefault("name", f"key-{key_id}")
        key = ApiKey(id=key_id, scope=scope, digest=digest(text), limits=KeyLimits(**limits), **facts)
        await self.keys.access.add(key)
        return text

    async def ask(
        self, method: str, path: str, key: str | None = None, server: int = 0, **kwargs: Any
    ) -> httpx.Response:
        """A request with a key. The path goes out as it is."""
        headers = dict(kwargs.pop("headers", {}))
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        return await self.http.request(method, self.urls[server] + path, headers=headers, **kwargs)

    async def chat(self, key: str | None, model: str = "m", server: int = 0, **body: Any) -> httpx.Response:
        """A chat completion."""
        whole = {"model": model, "messages": [{"role": "user", "content": "Hello"}], **body}
        return await self.ask("POST", "/v1/chat/completions", key, server, json=whole)

    async def usage(self, key: str) -> dict[str, int]:
        """What an admin's ``key`` shows of the use of each key and model, when every supervisor has reported."""
        for app in self.apps:
            assert app._access
            await app._access.live._report()
        found = (await self.ask("GET", "/v1/usage", key)).json()["data"]
        return {f"{each['key_name']} {each['model']}".strip(): each for each in found}


@asynccontextmanager
async def guarded(
    home: Path, supervisors: int = 1, gateway: Mapping[str, Any] = MappingProxyType({}), **access: Any
) -> AsyncIterator[Guarded]:
    """``supervisors`` of them, with settings of the ``gateway``, which know of no model yet."""
    from contextlib import AsyncExitStack

    keys = Registry(home)
    models = RegistryDouble()
    settings = AccessSettings(supervisors=supervisors, **access)
    async with AsyncExitStack() as stack:
        # Tests show more wrong keys in a second than any person.
        rules = GatewaySettings(supervisors=supervisors, **{"refusals_per_s": 0, **gateway})
        apps = [Supervisor(rules, models, access=settings, keys=keys, allow_fake=True) for _ in range(supervisors)]
        urls = [await stack.enter_async_context(serving(app, lifespan="on")) for app in apps]
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=10, verify=False))
        # A leftover of a test must not keep the loop.
        await asyncio.sleep(0)
        yield Guarded(keys, models, apps, urls, http)
