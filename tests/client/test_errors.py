"""Whatever goes wrong is an error of the tree."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.client.scripted_server import Answer, ScriptedServer
from xinfer import errors


@pytest.mark.parametrize(
    "error",
    [
        errors.ModelNotFound("No model 'm' is running.", param="model_uid"),
        errors.ThinkingNotSupported("It always thinks."),
        errors.LaunchFailed("Out of memory."),
        errors.LaunchCancelled("Cancelled."),
    ],
)
def test_the_servers_error_is_rebuilt(client: Any, server: ScriptedServer, error: errors.XinferError) -> None:
    server.answer("GET", "/v1/models/m", Answer(error.body(), error.status, error.headers()))
    with pytest.raises(type(error)) as caught:
        client.describe_model("m")
    assert type(caught.value) is type(error)
    assert (str(caught.value), caught.value.param) == (error.message, error.param)
    assert len(server.asked) == 1


def test_xinferences_own_error_body_is_understood(client: Any, server: ScriptedServer) -> None:
    server.answer("GET", "/status", Answer({"detail": "no such thing"}, 404))
    with pytest.raises(errors.NotFound, match=r"^no such thing$"):
        client.status()


@pytest.mark.parametrize("status", [400, 418, 500, 502])
def test_an_error_without_json_keeps_its_status(client: Any, server: ScriptedServer, status: int) -> None:
    server.answer("GET", "/status", Answer(b"<html>", status))
    with pytest.raises(errors.XinferError, match=f"The server answered {status}"):
        client.status()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"data": [{}]}'])
def test_a_reply_of_another_shape_says_so(client: Any, server: ScriptedServer, body: bytes) -> None:
    server.answer("GET", "/v1/models", Answer(body))
    with pytest.raises(errors.Unavailable, match="check the endpoint"):
        client.list_models()


def test_nobody_there(make_client: Any) -> None:
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(errors.Unavailable, match=f"{url}; start one with `xinfer start`"):
            make_client(url, max_retries=0).status()


def test_a_silent_server_times_out(make_client: Any, server: ScriptedServer) -> None:
    def late() -> Iterator[bytes]:
        time.sleep(0.5)
        yield b"{}"

    server.answer("GET", "/status", Answer(pieces=late()))
    with pytest.raises(errors.EngineTimeout):
        make_client(timeout=0.1).status()


def test_a_broken_connection(client: Any, server: ScriptedServer) -> None:
    server.answer("GET", "/status", Answer(pieces=[b"{"], cut=True))
    with pytest.raises(errors.EngineLost, match="broke"):
        client.status()
    assert len(server.asked) == 1
