"""Models' files that are brought to this node before a replica is there."""

from __future__ import annotations

import asyncio
import os
import sys

from pydantic import TypeAdapter, ValidationError

from xinfer.messages import Prefetch, Prefetched
from xinfer.process_lifetime import PARENT_VARIABLE

_MODULE = "worker.download.prefetch"
"""Reads a ``Prefetch`` and prints a ``Prefetched``; the node's agent knows the worker's part by this name alone."""


class Prefetches:
    """One after the other: they have time, and share the node's line with launches."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def run(self, asked: Prefetch) -> Prefetched:
        """Bring the files here; returns when that has ended. When it is cancelled, its process ends."""
        async with self._turn:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", _MODULE),
                env={**os.environ, PARENT_VARIABLE: str(os.getpid())},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                answer, errors = await process.communicate(TypeAdapter(Prefetch).dump_json(asked))
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        try:
            return TypeAdapter(Prefetched).validate_json(answer)
        except ValidationError:
            last = errors.decode(errors="replace").strip().rpartition("\n")[2]
            return Prefetched(error=f"the process ended with exit code {process.returncode}: {last}")
