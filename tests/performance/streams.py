"""Many streams held open by one process, cheaply: nothing is parsed."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from types import TracebackType

import aiohttp

_BEGIN_S = 60.0


class OpenStreams:
    """``count`` chat streams of one model, open until the block is left."""

    def __init__(self, endpoint: str, uid: str, count: int) -> None:
        self._url, self._count = f"{endpoint}/v1/chat/completions", count
        fields = {"model": uid, "messages": [{"role": "user", "content": "hello"}], "stream": True, "max_tokens": 3000}
        self._body = json.dumps(fields).encode()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> OpenStreams:
        connector = aiohttp.TCPConnector(limit=0)
        session = await self._stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        headers = {"content-type": "application/json"}
        async with asyncio.TaskGroup() as group:
            posts = [group.create_task(_post(session, self._url, self._body, headers)) for _ in range(self._count)]
        self._answers = [post.result() for post in posts]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for answer in self._answers:
            answer.close()
        await self._stack.aclose()

    async def begun(self) -> int:
        """How many have sent a first piece, once those that will have."""
        async with asyncio.timeout(_BEGIN_S):
            firsts = await asyncio.gather(*(answer.content.readany() for answer in self._answers))
        return sum(bool(first) for first in firsts)


async def _post(
    session: aiohttp.ClientSession, url: str, body: bytes, headers: dict[str, str]
) -> aiohttp.ClientResponse:
    answer = await session.post(url, data=body, headers=headers)
    assert answer.status == 200, await answer.text()
    return answer
