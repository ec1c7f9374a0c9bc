"""Logs of engines, read where they are: on the nodes of their replicas."""

from __future__ import annotations

import asyncio
from pathlib import Path

import ray

from xinfer.errors import Unavailable
from xinfer.messages import ReplicaReport
from xinfer.tail import tail

MAX_LINES = 10_000
_MAX_BYTES = 1024 * 1024
_TIMEOUT_S = 20.0


@ray.remote(num_cpus=0, max_retries=0)
def _tail(path: str, size: int) -> list[str]:
    return tail(Path(path), size)


async def read_log(report: ReplicaReport, lines: int) -> list[str]:
    """The last ``lines`` of the engine's log, at most a MiB of it; none if it has not written any.

    The path is the one that the replica reported itself. ``Unavailable`` if its node cannot be asked.
    """
    if not report.log or not report.node:
        return []
    on_its_node = _tail.options(resources={f"node:{report.node}": 0.001})
    reading = on_its_node.remote(report.log, _MAX_BYTES)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            found: list[str] = await reading
    except (TimeoutError, ray.exceptions.RayError) as error:
        ray.cancel(reading, force=True)
        raise Unavailable(f"The log of {report.replica!r} is on {report.node}, which cannot be asked now.") from error
    return found[-lines:]
