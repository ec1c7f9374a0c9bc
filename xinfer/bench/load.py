"""Keeps a server busy: so many requests at once, or so many per second."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from time import perf_counter

from xinfer.bench.sample import Sample

Send = Callable[[], Awaitable[Sample]]
"""Sends one request and returns when its answer is complete; it does not raise."""


async def closed_loop(streams: Sequence[Iterable[Send]], duration_s: float | None = None) -> list[Sample]:
    """All streams side by side, each sending its next request when the last one has ended.

    Streams may draw on one iterator. With ``duration_s`` no request begins later than that; else it is they who end.
    """
    if duration_s is None:
        end_s = float("inf")
    else:
        end_s = perf_counter() + duration_s

    async def work(stream: Iterable[Send]) -> list[Sample]:
        return [await send() for send in itertools.takewhile(lambda _: perf_counter() < end_s, stream)]

    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(work(stream)) for stream in streams]
    return [sample for worker in workers for sample in worker.result()]


async def open_loop(requests: Iterable[Send], due_s: Sequence[float], max_in_flight: int) -> list[Sample]:
    """One request at each of these times from now, whatever has become of those before.

    With ``max_in_flight`` under way the next one waits for its turn, which shows in its ``late_s``.
    """
    places = asyncio.Semaphore(max_in_flight)
    began_s = perf_counter()

    async def work(send: Send, due: float) -> Sample:
        try:
            sample = await send()
        finally:
            places.release()
        return replace(sample, late_s=max(0.0, sample.started_s - began_s - due))

    async with asyncio.TaskGroup() as group:
        tasks = []
        for due, send in zip(due_s, requests, strict=False):
            await asyncio.sleep(max(0.0, began_s + due - perf_counter()))
            await places.acquire()
            tasks.append(group.create_task(work(send, due)))
    return [task.result() for task in tasks]
