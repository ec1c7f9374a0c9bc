"""So many streams at once, for as long as a test lasts."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import aiohttp

CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "Hi"}]
_END_S = 120


@dataclass
class Load:
    """So many streams at once, each begun anew when it ends, from a thread of its own."""

    endpoint: str
    uid: str
    streams: int = 0
    tokens: int = 10
    done: int = 0
    failures: list[str] = field(default_factory=list)
    first_tokens: list[tuple[float, float]] = field(default_factory=list)
    """When each stream's first token came, in Unix time, and after how many seconds."""
    _stopping: bool = False

    async def run(self) -> None:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(_END_S)) as session:
            running: set[asyncio.Task[None]] = set()
            while not self._stopping or running:
                while not self._stopping and len(running) < self.streams:
                    running.add(asyncio.create_task(self._one(session)))
                await asyncio.sleep(0.02)
                running = {task for task in running if not task.done()}

    async def _one(self, session: aiohttp.ClientSession) -> None:
        body = {"model": self.uid, "messages": HELLO, "stream": True, "max_tokens": self.tokens, "ignore_eos": True}
        began = time.time()
        try:
            async with session.post(f"{self.endpoint}{CHAT}", json=body) as answer:
                text = ""
                async for chunk in answer.content.iter_any():
                    if '"content":"' not in text and b'"content":"' in chunk:
                        self.first_tokens.append((time.time(), time.time() - began))
                    text += chunk.decode()
                if answer.status != 200 or not text.endswith("data: [DONE]\n\n") or '"error"' in text:
                    self.failures.append(f"{answer.status} {text[-300:]}")
        except (aiohttp.ClientError, TimeoutError) as error:
            self.failures.append(repr(error))
        self.done += 1

    def stop(self) -> None:
        self._stopping = True


@contextmanager
def load(endpoint: str, uid: str) -> Iterator[Load]:
    """A load that begins with nothing; set ``streams``. At its end every stream has ended well."""
    found = Load(endpoint, uid)
    thread = threading.Thread(target=lambda: asyncio.run(found.run()))
    thread.start()
    try:
        yield found
    finally:
        found.stop()
        thread.join(_END_S)
    assert not thread.is_alive()
    assert found.failures == []
