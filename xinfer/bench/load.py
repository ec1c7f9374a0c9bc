"""Keeps a server busy: so many requests at once, or so many per second."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from random import Random
from time import perf_counter

from xinfer.bench.sample import Sample

Send = Callable[[], Awaitable[Sample]]
"""Sends one request and returns when its response is complete; it does not raise."""


async def closed_loop(streams: Sequence[Iterable[Send]], duration_s: float | None = None) -> list[Sample]:
    """All streams side by side, each of which sends its next request when the last one has ended.

    Streams may draw on one iterator. With ``duration_s`` no request begins later, and streams need not end.
    """
    if duration_s is None:
        end_s = float("inf")
    else:
        end_s = perf_counter() + duration_s

    async def work(stream: Iterable[Send]) -> list[Sample]:
        in_time = itertools.takewhile(lambda _: perf_counter() < end_s, stream)
        return [await send() for send in in_time]

    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(work(stream)) for stream in streams]

    samples: list[Sample] = []
    for worker in workers:
        samples += worker.result()
    return samples


async def open_loop(requests: Iterable[Send], due_s: Sequence[float], max_in_flight: int) -> list[Sample]:
    """One request at each of these times from now, whatever has become of those before.

    With ``max_in_flight`` requests under way the next one waits, which shows in its ``late_s``.
    """
    slots = asyncio.Semaphore(max_in_flight)
    began_s = perf_counter()

    async def work(send: Send, due: float) -> Sample:
        try:
            sample = await send()
        finally:
            slots.release()
        return replace(sample, late_s=max(0.0, sample.started_s - began_s - due))

    async with asyncio.TaskGroup() as group:
        tasks = []
        for due, send in zip(due_s, requests, strict=False):
            # Until a moment of the whole leg, not for a gap: waits that are a little too long would add up.
            await asyncio.sleep(max(0.0, began_s + due - perf_counter()))
            await slots.acquire()
            tasks.append(group.create_task(work(send, due)))
    return [task.result() for task in tasks]


def poisson(rate: float, seed: int) -> Iterator[float]:
    """Arrivals in seconds after the start, without an end; gaps are independent, ``1 / rate`` on average."""
    random = Random(seed)
    time = 0.0
    while True:
        time += random.expovariate(rate)
        yield time


def bounded(times: Iterator[float], requests: int, duration_s: float | None) -> list[float]:
    """The times within ``duration_s``, or the first ``requests`` if there is no duration; one at least."""
    if duration_s is None:
        return list(itertools.islice(times, requests))
    # A leg without any request would have no metrics.
    first = next(times)
    return [first, *itertools.takewhile(lambda time: time < duration_s, times)]
