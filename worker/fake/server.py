"""The fake engine's process: ``python -m worker.fake.server HOST PORT UID CONTEXT_LENGTH
BEHAVIOUR [SEAT]``. With a seat it is a part of an engine that spans nodes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from worker.fake import responses as wire
from worker.fake.behaviour import Behaviour, Exit, Fault
from worker.fake.gang import FakeSeat, await_followers, follow
from worker.middleware import ContractMiddleware
from xinfer.process_lifetime import die_with_parent
from xinfer.wire.paths import CHAT, COMPLETIONS

_log = logging.getLogger("fake")
_FAULTS: dict[str, Fault] = {"!exit": "exit", "!hang": "hang", "!error": "error"}


@dataclass
class FakeEngine:
    """One fake model: answers with counted words, keeps count of what runs and what was aborted."""

    uid: str
    context_length: int
    behaviour: Behaviour
    running: int = 0
    served: int = 0
    aborted: int = 0
    waiting: int = 0
    generated: int = 0
    """Tokens, of all answers."""
    warm: bool = False
    last_body: dict[str, Any] = field(default_factory=dict)
    turns: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self.turns = asyncio.Semaphore(self.behaviour.slots or sys.maxsize)

    def app(self) -> Starlette:
        """Its HTTP server: the routes of vLLM's that xinfer uses, and ``/fake/state``."""
        routes = [
            Route("/health", self.health),
            Route("/v1/models", self.models),
            Route("/fake/state", self.state),
            Route("/metrics", self.metrics),
            Route(CHAT, self.generate, methods=["POST"]),
            Route(COMPLETIONS, self.generate, methods=["POST"]),
            Route("/tokenize", self.tokenize, methods=["POST"]),
        ]
        app = Starlette(routes=routes)
        app.add_middleware(ContractMiddleware)
        return app

    async def health(self, request: Request) -> Response:
        return PlainTextResponse("")

    async def models(self, request: Request) -> Response:
        """As vLLM's, the fields that a worker reads."""
        return JSONResponse({"object": "list", "data": [{"id": self.uid, "max_model_len": self.context_length}]})

    async def state(self, request: Request) -> Response:
        """What it has done so far, and the body of the last request as it arrived."""
        facts = {"running": self.running, "served": self.served, "aborted": self.aborted}
        return JSONResponse({**facts, "last_body": self.last_body, "pid": os.getpid()})

    async def metrics(self, request: Request) -> Response:
        """Those of vLLM's metrics that a worker reads and that alerts are about, under its names."""
        labels = f'{{engine="0",model_name="{self.uid}"}}'
        figures = {
            "num_requests_running": self.running,
            "num_requests_waiting": self.waiting,
            "kv_cache_usage_perc": self._kv_cache_usage(),
            "generation_tokens_total": self.generated,
        }
        return PlainTextResponse("".join(f"vllm:{name}{labels} {value}\n" for name, value in figures.items()))

    def _kv_cache_usage(self) -> float:
        if self.behaviour.slots:
            return self.running / self.behaviour.slots / 2
        return self.behaviour.kv_cache_usage

    async def tokenize(self, request: Request) -> Response:
        """Counts the words of a prompt."""
        count = len(wire.prompt(await request.json()).split())
        return JSONResponse({"count": count, "max_model_len": self.context_length})

    async def generate(self, request: Request) -> Response:
        """A chat or text completion, streamed or not."""
        body = self.last_body = await request.json()
        if not self.warm:
            failure = await self._warm_up()
            if failure:
                return failure
        chat = "messages" in body
        words = self._words(body, wire.prompt(body))
        if body.get("stream"):
            return StreamingResponse(self._stream(body, words, chat=chat), media_type="text/event-stream")
        work = asyncio.ensure_future(_collect(words))
        gone = asyncio.ensure_future(_gone(request))
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if not work.done():
            work.cancel()
            return Response(status_code=499)
        answer = work.result()
        return JSONResponse(
            wire.envelope(self.uid, chat=chat, streamed=False)
            | wire.answer(answer, chat=chat, thoughts=self.behaviour.thoughts)
            | wire.usage(len(answer))
        )

    async def _warm_up(self) -> Response | None:
        """What sets the first generation apart: its time and, if it is to fail, the answer
        in vLLM's shape.
        """
        await asyncio.sleep(self.behaviour.warm_s)
        _maybe_exit(self.behaviour, "warming_up")
        self.warm = not self.behaviour.warm_error
        if self.warm:
            return None
        error = {"message": self.behaviour.warm_error, "type": "InternalServerError", "param": None, "code": 500}
        return JSONResponse({"error": error}, status_code=500)

    async def _words(self, body: dict[str, Any], prompt: str) -> AsyncIterator[str]:
        count = int(body.get("max_tokens") or self.behaviour.tokens)
        fault = _FAULTS.get(prompt, self.behaviour.fault)
        before = wire.words_so_far(body)
        finished = False
        await self._take_turn()
        self.running += 1
        try:
            await asyncio.sleep(self.behaviour.first_token_s)
            for number in range(count):
                if number >= self.behaviour.fault_after:
                    await _strike(fault)
                self.generated += 1
                yield f"{before + number} "
                await asyncio.sleep(self.behaviour.gap_s)
            finished = True
        finally:
            self.turns.release()
            self.running -= 1
            self.served += finished
            self.aborted += not finished

    async def _take_turn(self) -> None:
        self.waiting += 1
        try:
            await self.turns.acquire()
        finally:
            self.waiting -= 1

    async def _stream(self, body: dict[str, Any], words: AsyncIterator[str], *, chat: bool) -> AsyncIterator[bytes]:
        head = wire.envelope(self.uid, chat=chat, streamed=True)
        count = 0
        try:
            async for word in words:
                piece = wire.piece(word, chat=chat, thought=count < self.behaviour.thoughts)
                yield wire.event(head | {"choices": [{"index": 0, **piece, "finish_reason": None}]})
                count += 1
            yield wire.event(head | {"choices": [{"index": 0, **wire.piece("", chat=chat), "finish_reason": "length"}]})
            if (body.get("stream_options") or {}).get("include_usage"):
                yield wire.event(head | {"choices": []} | wire.usage(count))
        except RuntimeError as error:
            yield wire.event({"error": {"message": str(error), "type": "InternalServerError", "code": 500}})
        finally:
            await words.aclose()  # type: ignore[attr-defined]
        yield b"data: [DONE]\n\n"


async def _strike(fault: Fault) -> None:
    if fault == "exit":
        os._exit(1)
    if fault == "hang":
        await asyncio.sleep(3600)
    if fault == "error":
        raise RuntimeError("a fault was asked for")


async def _collect(words: AsyncIterator[str]) -> list[str]:
    return [word async for word in words]


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def main() -> None:
    """Come up as ``BEHAVIOUR`` says and serve until told to stop."""
    die_with_parent()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(asctime)s %(message)s")
    host, port, uid, context_length, text, *rest = sys.argv[1:]
    behaviour = Behaviour(**json.loads(text))
    seat = FakeSeat(**json.loads(rest[0])) if rest else None
    _start(behaviour)
    if seat and seat.rank:
        if behaviour.follower_error:
            sys.exit(f"RuntimeError: {behaviour.follower_error}")
        follow(seat)
    followers = await_followers(seat) if seat else []
    _load(behaviour, uid)
    engine = FakeEngine(uid, int(context_length), behaviour)
    _log.info("Starting vLLM server on http://%s:%s", host, port)
    uvicorn.run(engine.app(), host=host, port=int(port), log_level="warning")
    for connection in followers:
        connection.close()


def _start(behaviour: Behaviour) -> None:
    time.sleep(behaviour.start_s)
    _maybe_exit(behaviour, "starting")
    if behaviour.start_error:
        sys.exit(f"RuntimeError: {behaviour.start_error}")


def _load(behaviour: Behaviour, uid: str) -> None:
    if behaviour.shows_loading:
        _log.info("Starting to load model %s...", uid)
    time.sleep(behaviour.load_s)
    _maybe_exit(behaviour, "loading")
    if behaviour.load_error:
        sys.exit(f"RuntimeError: {behaviour.load_error}")


def _maybe_exit(behaviour: Behaviour, stage: Exit) -> None:
    if behaviour.exit_while == stage:
        os._exit(1)


if __name__ == "__main__":
    main()
