"""The clients as objects: their names, signatures, sessions, and what importing them costs."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys

import aiohttp
import pytest
import requests

import xinfer.client
from tests.client.scripted_server import ScriptedServer
from xinfer.client import AsyncRESTfulClient, RESTfulClient

HEAVY = ("ray", "vllm", "torch", "transformers")


def modules_after(statement: str) -> set[str]:
    script = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    return set(
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    )


def test_importing_the_client_pulls_in_nothing_heavy() -> None:
    assert modules_after("from xinfer.client import *").isdisjoint(HEAVY)


def test_who_only_blocks_does_not_import_aiohttp() -> None:
    assert "aiohttp" not in modules_after("from xinfer.client import RESTfulClient")


def test_exported_names_exist() -> None:
    for name in xinfer.client.__all__:
        assert inspect.isclass(getattr(xinfer.client, name))
    assert xinfer.client.Client is RESTfulClient
    assert xinfer.client.AsyncClient is AsyncRESTfulClient
    with pytest.raises(AttributeError):
        xinfer.client.nothing  # noqa: B018


def public(kind: type) -> dict[str, list[str]]:
    methods = inspect.getmembers(kind, inspect.isfunction)
    return {name: list(inspect.signature(method).parameters) for name, method in methods if not name.startswith("_")}


def test_both_clients_have_the_same_methods() -> None:
    assert public(RESTfulClient) == public(AsyncRESTfulClient)
    assert public(RESTfulClient)["launch_model"][:5] == [
        "self",
        "model_name",
        "model_type",
        "model_engine",
        "model_uid",
    ]
    assert all(method.__doc__ for _, method in inspect.getmembers(RESTfulClient, inspect.isfunction) if method.__doc__)


def test_the_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XINFER_ENDPOINT", "http://elsewhere:1/")
    assert RESTfulClient().base_url == "http://elsewhere:1"


def test_a_session_that_is_handed_in_is_used_and_left_open(server: ScriptedServer) -> None:
    server.reply("GET", "/status", {})
    with requests.Session() as session:
        session.headers["x-mine"] = "1"
        with RESTfulClient(server.url, session=session) as client:
            client.status()
        assert server.asked[0].headers["x-mine"] == "1"
        assert session.get(f"{server.url}/status", timeout=5).ok


async def test_so_is_an_awaited_one(server: ScriptedServer) -> None:
    server.reply("GET", "/status", {})
    async with aiohttp.ClientSession(headers={"x-mine": "1"}) as session:
        async with AsyncRESTfulClient(server.url, session=session) as client:
            await client.status()
        assert server.asked[0].headers["x-mine"] == "1"
        assert not session.closed


def test_one_awaited_client_serves_one_loop_after_another(server: ScriptedServer) -> None:
    server.reply("GET", "/status", {})
    client = AsyncRESTfulClient(server.url)

    async def ask_and_close() -> None:
        await client.status()
        await client.close()

    asyncio.run(ask_and_close())
    asyncio.run(ask_and_close())
    assert len(server.asked) == 2


async def test_many_requests_at_once(server: ScriptedServer) -> None:
    server.reply("GET", "/status", {})
    async with AsyncRESTfulClient(server.url) as client:
        assert await asyncio.gather(*(client.status() for _ in range(20))) == [{}] * 20
