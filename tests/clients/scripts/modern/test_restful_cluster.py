"""``xinference-client``: the cluster, what xinfer leaves out, and that no method of the client was forgotten."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from shared import ENDPOINT, MODEL
from xinference_client import AsyncRESTfulClient, RESTfulClient

UNSUPPORTED = {
    "abort_cluster": "it would take the cluster of all other tests down; tests/supervisor/api/test_cluster.py has its route",
}


async def test_cluster(client: Any) -> None:
    workers = await client.get_workers_info()
    assert any(MODEL in worker["models"] for worker in workers)
    address = (await client.get_supervisor_info())["supervisor_ip"]
    assert address in {worker["work-ip"] for worker in workers}
    assert (await client._get_supervisor_internal_address()).startswith(f"{address}:")


@pytest.mark.parametrize("kind", [RESTfulClient, AsyncRESTfulClient])
async def test_key_is_not_sent_where_none_is_asked_for(kind: Any) -> None:
    client = kind(ENDPOINT, api_key="anything")
    assert client._headers == {}
    assert client._get_token() is None
    closed = client.close()
    if inspect.isawaitable(closed):
        await closed


async def test_login_is_not_needed(client: Any) -> None:
    assert await client.login("somebody", "a password") is None
    assert await client._get_token() is None


@pytest.mark.parametrize(
    ("method", "args"),
    [
        ("get_autostart_config", ()),
        ("get_autostart_model_summary", ()),
        ("upsert_autostart_model", ({"launch": {"model_name": "tiny-chat"}},)),
        ("remove_autostart_model", (MODEL,)),
        ("reload_model", (MODEL, {"max_model_len": 2048})),
        ("get_model_reload_status", (MODEL,)),
        ("get_model_reload_config", (MODEL,)),
        ("relaunch_api", ()),
        ("get_api_relaunch", ("an-operation",)),
        ("list_api_relaunches", ()),
        ("relaunch_supervisor", ()),
        ("get_supervisor_relaunch", ("an-operation",)),
        ("list_supervisor_relaunches", ()),
        ("relaunch_worker", ("127.0.0.1:1",)),
        ("get_worker_relaunch", ("an-operation",)),
        ("list_worker_relaunches", ()),
        ("get_progress", ("a-request",)),
    ],
)
async def test_what_is_left_out_says_so(client: Any, method: str, args: tuple[Any, ...]) -> None:
    if not hasattr(client.wrapped, method):
        pytest.skip("this client does not have it")
    with pytest.raises(RuntimeError, match=r"Failed to .*xinfer"):
        await getattr(client, method)(*args)


async def test_there_is_one_kind_of_model(client: Any) -> None:
    """So the client's handles for embeddings, images and the like are never given."""
    assert {row["model_type"] for row in (await client.list_models()).values()} == {"LLM"}


@pytest.mark.parametrize("kind", [RESTfulClient, AsyncRESTfulClient])
def test_every_method_is_called_here(kind: type) -> None:
    """What a client has is called by one of these files, or named above with the reason."""
    text = "".join(file.read_text() for file in Path(__file__).parent.glob("test_restful_*.py"))
    called = set(re.findall(r"client\.(\w+)\(", text)) | set(re.findall(r'^        \("(\w+)", \(', text, re.MULTILINE))
    methods = {name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}
    assert methods - called - set(UNSUPPORTED) == set()
