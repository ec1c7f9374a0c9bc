"""Sends requests and times the responses."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

import aiohttp

from xinfer import errors
from xinfer.bench.response import (
    InferenceResponse,
    Piece,
    failure_of_response,
    failure_of_status,
    parse_stream,
    parse_whole,
)
from xinfer.bench.sample import Failure, Sample
from xinfer.bench.target import Server

CONNECT_TIMEOUT_S = 10.0
# Below the 5 s after which uvicorn hangs up, perhaps on a request that is on its way.
_KEEPALIVE_S = 3.0
_LOST = (aiohttp.ClientError, TimeoutError)
"""Everything that can happen to a request on its way."""


class Sender:
    """One session for all servers of a run; connections are kept and used again."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    @classmethod
    @asynccontextmanager
    async def opened(cls, timeout_s: float, trusted: ssl.SSLContext | None = None) -> AsyncIterator[Sender]:
        """A sender that gives each request ``timeout_s`` seconds; its connections are closed at the end.

        Servers show certificates as ``trusted`` wants them; None for what this machine trusts.
        """
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S)
        # Aiohttp's limit of 100 connections would queue requests here, as if the server were slow.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S, ssl=trusted or True)
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=jar) as session:
            yield cls(session)

    async def models(self, server: Server) -> list[str]:
        """The models that a server lists; raises an XinferError if it lists none."""
        try:
            async with self._session.get(server.models_url, headers=server.headers) as response:
                content = await response.read()
        except _LOST as error:
            raise _connection_failure(server.url, error).error from error
        return _model_ids(server.url, response.status, content)

    async def page(self, url: str, timeout_s: float) -> str | None:
        """The text at ``url``, empty unless its status is 200; None if there is no response in time."""
        try:
            async with self._session.get(url, timeout=aiohttp.ClientTimeout(total=timeout_s)) as response:
                if response.status == 200:
                    return (await response.read()).decode(errors="replace")
                return ""
        except _LOST:
            return None

    async def connect(self, server: Server, connections: int) -> None:
        """Open so many connections and leave them idle; what goes wrong shows in the requests that follow."""
        await asyncio.gather(*(self._touch(server) for _ in range(connections)))

    async def _touch(self, server: Server) -> None:
        with contextlib.suppress(*_LOST):
            async with self._session.get(server.models_url, headers=server.headers) as response:
                await response.read()

    async def send(self, server: Server, url: str, body: bytes, *, stream: bool) -> Sample:
        """Send one request and read its response to the end. Whatever goes wrong is in the sample."""
        started_s = perf_counter()
        try:
            async with self._session.post(url, data=body, headers=server.headers) as response:
                if response.status != 200:
                    failure = failure_of_status(response.status, await response.read())
                    return Sample(started_s, perf_counter(), failure=failure)
                if stream:
                    parsed = parse_stream(await _read_pieces(response))
                else:
                    parsed = parse_whole(await response.read())
        except _LOST as error:
            return Sample(started_s, perf_counter(), failure=_connection_failure(server.url, error))
        return _sample(started_s, perf_counter(), parsed)


async def _read_pieces(response: aiohttp.ClientResponse) -> list[Piece]:
    # Nothing but the clock is looked at while a stream comes: parsing it here would delay the other streams.
    pieces: list[Piece] = []
    read = response.content.readany
    while piece := await read():
        pieces.append((perf_counter(), piece))
    return pieces


def _sample(started_s: float, ended_s: float, response: InferenceResponse) -> Sample:
    return Sample(
        started_s=started_s,
        ended_s=ended_s,
        content_s=response.content_s,
        prompt_tokens=response.usage.get("prompt_tokens"),
        completion_tokens=response.usage.get("completion_tokens"),
        failure=failure_of_response(response),
    )


def _connection_failure(url: str, error: BaseException) -> Failure:
    """No connection, a broken one, or one that took too long."""
    # First, since a timeout of the connection is a TimeoutError, too.
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        message = f"No server answers at {url}; `xinfer start` starts one on this machine."
        return Failure("no connection", errors.Unavailable(message))
    if isinstance(error, TimeoutError):
        message = f"{url} did not answer in time; `xinfer bench --timeout-s` gives it longer."
        return Failure("timeout", errors.EngineTimeout(message))
    message = f"The connection to {url} broke before the answer was complete."
    return Failure("connection lost", errors.EngineLost(message))


def _model_ids(url: str, status: int, content: bytes) -> list[str]:
    """The models in the response to ``GET /v1/models``; raises an XinferError if it has none of that form."""
    if status not in (200, 404):
        raise failure_of_status(status, content).error
    try:
        return [str(model["id"]) for model in json.loads(content)["data"]]
    except (ValueError, KeyError, TypeError):
        step = "check the address, or name one for `xinfer bench`."
        raise errors.Unavailable(f"{url} does not list models as OpenAI's API does; {step}") from None
