"""The awaited client's way to a server: sends calls, retries, shows the key where it is wanted."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

import aiohttp
from yarl import URL

from xinfer import errors
from xinfer.client import _calls, _responses
from xinfer.client._async_failures import LOST, failure
from xinfer.client._calls import CONNECT_TIMEOUT_S, Call, Json
from xinfer.client._responses import Failure
from xinfer.client._retries import RetryPolicy
from xinfer.client.async_stream import AsyncStream

T = TypeVar("T")


class AsyncConnection:
    """One server, one key, one session, which is made at the first call. A session that was handed in is not closed."""

    def __init__(
        self,
        url: str,
        api_key: str | None,
        timeout: float | None,
        retries: RetryPolicy,
        session: aiohttp.ClientSession | None,
    ) -> None:
        self.url = url
        self._api_key = api_key
        self._timeout = timeout
        self._retries = retries
        self._owned = session is None
        self._session = session
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wants_key: bool | None = None

    async def send(self, call: Call[T]) -> T:
        """The value of the response; raises an error of the tree."""
        return await self._value(call, await self._key())

    async def infer(self, call: Call[Json]) -> Json | AsyncStream:
        """The response as a value, or as a stream if the body has ``stream``."""
        if call.streams:
            return AsyncStream(await self._open(call, await self._key()), self.url)
        return await self.send(call)

    async def close(self) -> None:
        """Close the session, if it is ours. A later call makes a new one."""
        if self._owned and self._session is not None:
            session = self._session
            self._session = None
            await session.close()

    def use_key(self, api_key: str) -> None:
        """Show this key from now on, to a server that is known to require one."""
        self._api_key = api_key
        self._wants_key = True

    async def _key(self) -> str | None:
        """The key, if there is one and the server requires it, which is looked up at the first call."""
        if self._api_key is None:
            return None
        # Concurrent first calls may each look it up, with the same result.
        if self._wants_key is None:
            self._wants_key = await self._ask_for_auth()
        if self._wants_key:
            return self._api_key
        return None

    async def _ask_for_auth(self) -> bool:
        try:
            return await self._value(_calls.cluster_auth(), None)
        except errors.NotFound:
            return False

    async def _value(self, call: Call[T], key: str | None) -> T:
        response = await self._open(call, key)
        return _responses.read(call, self.url, await response.read())

    async def _open(self, call: Call[Any], key: str | None) -> aiohttp.ClientResponse:
        """A successful response; the body of a stream is not read yet."""
        retries = 0
        while isinstance(outcome := await self._attempt(call, key), Failure):
            delay_s = self._retries.delay_s(outcome, retries)
            if delay_s is None:
                raise outcome.error
            await asyncio.sleep(delay_s)
            retries += 1
        return outcome

    async def _attempt(self, call: Call[Any], key: str | None) -> aiohttp.ClientResponse | Failure:
        try:
            response = await self._request(call, key)
            if response.ok and call.streams:
                return response
            # Lets the connection go, also if it fails.
            content = await response.read()
        except LOST as error:
            return failure(self.url, error)
        if response.ok:
            return response
        return _responses.bad_status(call, response.status, response.headers, content)

    async def _request(self, call: Call[Any], key: str | None) -> aiohttp.ClientResponse:
        session = await self._session_here()
        return await session.request(
            call.method,
            URL(self.url + call.path, encoded=True),  # UIDs are quoted already
            params=call.params,
            json=call.body,
            headers={} if key is None else {"Authorization": f"Bearer {key}"},
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=call.read_timeout_s(self._timeout)
            ),
        )

    async def _session_here(self) -> aiohttp.ClientSession:
        """A session of the running loop; one left open by an earlier ``asyncio.run`` is of no use in this one."""
        if not self._owned and self._session is not None:
            return self._session
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:
            await self.close()
            # limit=0: how many requests are in flight is the caller's to choose.
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
            self._loop = loop
        return self._session
