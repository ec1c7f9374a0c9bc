"""Requests given up by the id that their caller gave them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.worker.middleware.streams import HEAD, chunk, payloads, sse, text_chunk
from worker.middleware import ContractMiddleware
from worker.middleware.aborts import AbortableRequests
from xinfer.wire.paths import ABORT_PATH

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"


class Engine:
    """An app that answers with ``pieces`` and then waits for its client to leave, or to be let on."""

    def __init__(self, *pieces: bytes, kind: bytes = b"text/event-stream") -> None:
        self._pieces, self._kind = pieces, kind
        self.go, self.reached, self.aborted = asyncio.Event(), asyncio.Event(), 0
        self.server = ContractMiddleware(self)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", self._kind)]})
        for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        self.reached.set()
        leaving, going = asyncio.ensure_future(receive()), asyncio.ensure_future(self.go.wait())
        await asyncio.wait({leaving, going}, return_when=asyncio.FIRST_COMPLETED)
        for task in (leaving, going):
            task.cancel()
        if leaving.done() and not leaving.cancelled():
            assert leaving.result()["type"] == "http.disconnect"
            self.aborted += 1
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def is_at_work(self) -> None:
        """Wait until it has sent its pieces."""
        async with asyncio.timeout(5):
            await self.reached.wait()

    async def ask(self, path: str = CHAT, request_id: str = "mine") -> tuple[int, bytes]:
        """The whole answer: its status and body."""
        out: list[Any] = []

        async def send(message: Any) -> None:
            out.append(message)

        scope = {"type": "http", "path": path, "headers": [(b"x-xinfer-request-id", request_id.encode())]}
        async with asyncio.timeout(5):
            await self.server(scope, asyncio.Event().wait, send)  # type: ignore[arg-type]
        assert [message["type"] for message in out] == ["http.response.start"] + ["http.response.body"] * (len(out) - 1)
        assert [message["more_body"] for message in out[1:]] == [True] * (len(out) - 2) + [False]
        return out[0]["status"], b"".join(message["body"] for message in out[1:])

    async def abort(self, request_id: str = "mine", block_s: float = 0) -> str:
        """What the middleware says."""
        body = json.dumps({"request_id": request_id, "block_duration": block_s}).encode()
        parts = iter(
            [{"type": "http.request", "body": body[:5], "more_body": True}, {"type": "http.request", "body": body[5:]}]
        )
        out: list[Any] = []

        async def receive() -> Any:
            return next(parts)

        async def send(message: Any) -> None:
            out.append(message)

        await self.server({"type": "http", "path": ABORT_PATH, "headers": []}, receive, send)
        message: str = json.loads(out[1]["body"])["msg"]
        return message


async def test_stream_is_finished_for_that_reason() -> None:
    engine = Engine(sse(chunk(role="assistant", content="")), sse(chunk(content="a"), chunk(index=1, content="b")))
    asking = asyncio.create_task(engine.ask())
    await engine.is_at_work()
    assert await engine.abort() == "DONE"
    status, body = await asking
    *_, last, done = payloads(body)
    ends = [{"index": n, "delta": {"content": ""}, "logprobs": None, "finish_reason": "abort"} for n in (0, 1)]
    assert (status, last, done, engine.aborted) == (200, {**HEAD, "choices": ends}, "[DONE]", 1)


async def test_choice_that_has_finished_stays_so() -> None:
    engine = Engine(sse(chunk("stop", content="a"), chunk(index=1, content="b")))
    asking = asyncio.create_task(engine.ask())
    await engine.is_at_work()
    assert await engine.abort() == "DONE"
    told = [(c["index"], c["finish_reason"]) for each in payloads((await asking)[1])[:-1] for c in each["choices"]]
    assert told == [(0, "stop"), (1, None), (1, "abort")]


async def test_text_completion_too() -> None:
    engine = Engine(sse(text_chunk("a")))
    asking = asyncio.create_task(engine.ask(COMPLETIONS))
    await engine.is_at_work()
    assert await engine.abort() == "DONE"
    first, last = payloads((await asking)[1])
    assert first == text_chunk("a")
    assert last["choices"] == [{"index": 0, "text": "", "logprobs": None, "finish_reason": "abort"}]


@pytest.mark.parametrize(
    "engine",
    [Engine(kind=b"application/json"), Engine(b'{"cho', kind=b"application/json"), Engine()],
    ids=["", "a", "b"],
)
async def test_answer_that_has_not_begun_is_an_error(engine: Engine) -> None:
    asking = asyncio.create_task(engine.ask())
    await engine.is_at_work()
    assert await engine.abort() == "DONE"
    status, body = await asking
    assert (status, json.loads(body)["error"]["code"], engine.aborted) == (499, "request_aborted", 1)


async def test_nothing_of_that_id() -> None:
    engine = Engine(sse(chunk("stop", content="a"), "[DONE]"))
    assert await engine.abort() == "NOT_FOUND"
    engine.go.set()
    assert (await engine.ask())[0] == 200
    assert await engine.abort() == "NOT_FOUND"


async def test_others_go_on() -> None:
    engine = Engine(sse(chunk("stop", content="a"), "[DONE]"))
    asking = asyncio.create_task(engine.ask(request_id="theirs"))
    await engine.is_at_work()
    assert await engine.abort() == "NOT_FOUND"
    engine.go.set()
    assert payloads((await asking)[1])[-1] == "[DONE]"
    assert engine.aborted == 0


async def test_id_with_odd_characters() -> None:
    engine = Engine(sse(chunk(content="a")))
    asking = asyncio.create_task(engine.ask(request_id="%E9%AF%A8%20%2F"))
    await engine.is_at_work()
    assert await engine.abort("鯨 /") == "DONE"
    await asking


async def test_all_of_one_id_end_together() -> None:
    engine = Engine(sse(chunk(content="a")))
    asking = [asyncio.create_task(engine.ask()) for _ in range(3)]
    await asyncio.sleep(0.01)
    assert await engine.abort() == "DONE"
    await asyncio.gather(*asking)
    assert engine.aborted == 3


async def test_blocked_id_is_refused_before_the_engine_hears_of_it() -> None:
    engine = Engine(sse(chunk(content="a")))
    assert await engine.abort(block_s=30) == "NOT_FOUND"
    assert (await engine.ask())[0] == 499
    assert not engine.reached.is_set()


async def test_block_ends() -> None:
    now = 0.0
    under_way = AbortableRequests(lambda: now)
    under_way.abort("mine", 30)
    under_way.abort("mine", 5)
    for seconds, refused in ((29.0, True), (1.0, False)):
        now += seconds
        with under_way.request("mine", asyncio.Event().wait) as request:  # type: ignore[arg-type]
            assert request.given_up is refused


async def test_blocks_do_not_pile_up() -> None:
    now = 0.0
    under_way = AbortableRequests(lambda: now)
    for number in range(10_500):
        under_way.abort(str(number), 30)
    assert len(under_way._refused_until) == 10_000
    now = 31.0
    under_way.abort("last", 30)
    assert list(under_way._refused_until) == ["last"]
    assert not under_way._requests


async def test_client_that_leaves_while_it_asks_for_an_abort_aborts_nothing() -> None:
    engine = Engine()
    messages = iter(
        [{"type": "http.request", "body": b'{"request_id": "mi', "more_body": True}, {"type": "http.disconnect"}]
    )
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    await engine.server({"type": "http", "path": ABORT_PATH, "headers": []}, receive, send)
    assert sent == []
