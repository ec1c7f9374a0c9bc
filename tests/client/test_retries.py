"""What is tried again, and when."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from tests.client.scripted_server import Answer, ScriptedServer
from xinfer import errors
from xinfer.client._responses import Failure
from xinfer.client._retries import RetryPolicy

BUSY = errors.ModelOverloaded("Full.")
ASKED_BACK = Answer(BUSY.body(), 429, {"x-should-retry": "true", "retry-after": "0.01"})


def test_a_request_turned_away_for_now_is_sent_again(client: Any, server: ScriptedServer) -> None:
    server.answer("POST", "/v1/completions", ASKED_BACK, ASKED_BACK, Answer({"choices": []}))
    assert client.get_model("m").generate("x") == {"choices": []}
    assert len(server.asked) == 4


def test_so_is_a_stream(client: Any, server: ScriptedServer) -> None:
    server.answer("POST", "/v1/completions", ASKED_BACK, Answer(pieces=[b'data: {"a": 1}\n\n']))
    assert list(client.get_model("m").generate("x", {"stream": True})) == [{"a": 1}]


def test_max_retries_is_the_end(make_client: Any, server: ScriptedServer) -> None:
    server.answer("GET", "/status", ASKED_BACK)
    with pytest.raises(errors.ModelOverloaded) as caught:
        make_client(max_retries=1).status()
    assert caught.value.retry_after_s == 0.01
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (429, {}),
        (429, {"x-should-retry": "false", "retry-after": "0.01"}),
        (502, {"x-should-retry": "true", "retry-after": "0.01"}),
        (400, {"retry-after": "0.01"}),
    ],
)
def test_others_are_not(client: Any, server: ScriptedServer, status: int, headers: dict[str, str]) -> None:
    server.answer("GET", "/status", Answer({"detail": "no"}, status, headers))
    with pytest.raises(errors.XinferError):
        client.status()
    assert len(server.asked) == 1


def test_xinferences_loading_answer_counts_as_a_wish(client: Any, server: ScriptedServer) -> None:
    server.answer("GET", "/status", Answer({"detail": "loading"}, 503, {"retry-after": "0.01"}), Answer({}))
    assert client.status() == {}


def test_a_launch_is_never_sent_twice(client: Any, server: ScriptedServer) -> None:
    server.answer("POST", "/v1/models", ASKED_BACK)
    with pytest.raises(errors.ModelOverloaded):
        client.launch_model("q")
    assert len(server.asked) == 1


def test_a_server_that_comes_up_in_time_is_found(make_client: Any) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        client = make_client(f"http://127.0.0.1:{listener.getsockname()[1]}", max_retries=5)

        def come_up() -> None:
            time.sleep(0.1)
            listener.listen()
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")

        thread = threading.Thread(target=come_up)
        thread.start()
        assert client.status() == {}
        thread.join()


def test_waits_double_and_have_an_end() -> None:
    policy = RetryPolicy(max_retries=20, first_delay_s=1, max_delay_s=10)
    failure = Failure(errors.Unavailable("x"), again=True)
    delays = [policy.delay_s(failure, retries) or 0 for retries in range(8)]
    assert all(0.75 * 2**n <= delay <= 2**n for n, delay in enumerate(delays[:3]))
    assert max(delays) <= 10
    assert policy.delay_s(failure, 20) is None


def test_the_servers_word_counts_up_to_a_limit() -> None:
    policy = RetryPolicy(max_delay_s=10)
    assert policy.delay_s(Failure(errors.Unavailable("x", retry_after_s=3), again=True), 0) == 3
    assert policy.delay_s(Failure(errors.Unavailable("x", retry_after_s=3600), again=True), 0) == 10
    assert policy.delay_s(Failure(errors.Unavailable("x", retry_after_s=3)), 0) is None


def test_a_negative_number_is_refused(make_client: Any) -> None:
    with pytest.raises(ValueError, match="max_retries=-1"):
        make_client(max_retries=-1)
