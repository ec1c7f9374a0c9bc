"""Sends requests and times what comes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import aiohttp

from xinfer.bench import failures
from xinfer.bench.answer import Answer, Piece, read_stream, read_whole
from xinfer.bench.sample import Failure, Sample
from xinfer.bench.target import Server

CONNECT_TIMEOUT_S = 10.0
# Below the 5 s after which uvicorn hangs up, perhaps on a request that is on its way.
_KEEPALIVE_S = 3.0


class Sender:
    """One session for all servers of a run; connections are kept and used again."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    @classmethod
    @asynccontextmanager
    async def opened(cls, timeout_s: float) -> AsyncIterator[Sender]:
        """A sender that gives each request ``timeout_s`` seconds; its connections are closed at the end."""
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S)
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S)
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=jar) as session:
            yield cls(session)

    async def models(self, server: Server) -> list[str]:
        """The models that a server lists; raises an error of the tree."""
        try:
            async with self._session.get(server.models_url, headers=server.headers) as response:
                content = await response.read()
        except failures.LOST as error:
            raise failures.of_connection(server.url, error).error from error
        return failures.model_ids(server.url, response.status, content)

    async def page(self, url: str, timeout_s: float) -> str | None:
        """The text at ``url``, empty if it is none; None if nobody answers in time."""
        try:
            async with self._session.get(url, timeout=aiohttp.ClientTimeout(total=timeout_s)) as response:
                if response.status == 200:
                    return (await response.read()).decode(errors="replace")
                return ""
        except failures.LOST:
            return None

    async def connect(self, server: Server, connections: int) -> None:
        """Have so many connections open and idle; a server that refuses is left to the requests to tell of."""
        await asyncio.gather(*(self._touch(server) for _ in range(connections)))

    async def _touch(self, server: Server) -> None:
        with contextlib.suppress(*failures.LOST):
            async with self._session.get(server.models_url, headers=server.headers) as response:
                await response.read()

    async def send(self, server: Server, url: str, body: bytes, *, stream: bool) -> Sample:
        """Send one request and read its answer to the end. Whatever goes wrong is in the sample."""
        started_s = perf_counter()
        try:
            async with self._session.post(url, data=body, headers=server.headers) as response:
                if response.status != 200:
                    failure = failures.of_status(response.status, await response.read())
                    return Sample(started_s, perf_counter(), failure=failure)
                answer = await (_streamed(response) if stream else _whole(response))
        except failures.LOST as error:
            return Sample(started_s, perf_counter(), failure=failures.of_connection(server.url, error))
        return _sample(started_s, perf_counter(), answer, failures.of_answer(answer))


async def _streamed(response: aiohttp.ClientResponse) -> Answer:
    pieces: list[Piece] = []
    read = response.content.readany
    while piece := await read():
        pieces.append((perf_counter(), piece))
    return read_stream(pieces)


async def _whole(response: aiohttp.ClientResponse) -> Answer:
    return read_whole(await response.read())


def _sample(started_s: float, ended_s: float, answer: Answer, failure: Failure | None) -> Sample:
    usage: Any = answer.usage
    return Sample(
        started_s=started_s,
        ended_s=ended_s,
        content_s=answer.content_s,
        prompt_tokens=usage.get("prompt_tokens"),
        completion_tokens=usage.get("completion_tokens"),
        failure=failure,
    )
