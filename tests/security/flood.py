"""``python -m tests.security.flood``: one tenant's requests as fast as they are answered, in a process of its own.

Takes one JSON object on the command line, ``url``, ``key``, ``connections`` and ``body``, goes on until its standard input
ends, and prints how many answers it got, by status.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp

# What a client does that is told to come back later, or that cannot connect.
_PAUSE_S = 0.05


@contextmanager
def flood(url: str, key: str, connections: int, body: dict[str, Any]) -> Iterator[Callable[[], Counter[str]]]:
    """A flood while the block runs; what this gives ends it and returns the number of answers by status."""
    wish = json.dumps({"url": url, "key": key, "connections": connections, "body": body})
    argv = [sys.executable, "-m", "tests.security.flood", wish]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def end() -> Counter[str]:
        told, _ = process.communicate()
        return Counter(json.loads(told))

    try:
        yield end
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


async def _send(session: aiohttp.ClientSession, url: str, body: bytes, statuses: Counter[int]) -> None:
    while True:
        try:
            async with session.post(url, data=body) as answer:
                await answer.read()
        except aiohttp.ClientError:
            statuses[0] += 1
            await asyncio.sleep(_PAUSE_S)
            continue
        statuses[answer.status] += 1
        if answer.status == 429:
            await asyncio.sleep(_PAUSE_S)


async def _main(url: str, key: str, connections: int, body: dict[str, Any]) -> None:
    statuses: Counter[int] = Counter()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:
        data = json.dumps(body).encode()
        tasks = [asyncio.create_task(_send(session, url, data, statuses)) for _ in range(connections)]
        await asyncio.to_thread(sys.stdin.read)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(statuses))


if __name__ == "__main__":
    asyncio.run(_main(**json.loads(sys.argv[1])))
