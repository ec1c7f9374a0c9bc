"""The process that brings a model's files to a node before a replica of it is there.

Run as ``python -m worker.download.prefetch`` with a ``Prefetch`` as JSON on standard input, since its environment may hold a
token. It prints a ``Prefetched`` as JSON, and ends with its parent.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from contextlib import aclosing
from pathlib import Path

from pydantic import TypeAdapter

from worker.command import engine_env
from worker.download import Source, fetch, needs_download
from worker.download.cache import cache_folder
from xinfer.errors import XinferError
from xinfer.messages import DownloadState, Prefetch, Prefetched
from xinfer.process_lifetime import die_with_parent

# Launches, engines and supervisors go first.
_NICENESS = 15
_FREE_SHARE = 0.1
"""Of the disk, what has to be left of it: these files may never be needed."""


async def prefetch(asked: Prefetch, log: Path) -> Prefetched:
    """Bring the files here unless they are."""
    source = Source.of(asked.spec)
    env = engine_env(asked.spec, asked.settings)
    if not needs_download(source, env):
        return Prefetched()

    began = time.monotonic()
    cache = Path(source.download_dir) if source.download_dir else cache_folder(env)
    state = DownloadState()
    try:
        async with aclosing(fetch(source, env, log)) as states:
            async for state in states:
                refusal = _refusal(state, cache)
                if refusal:
                    return Prefetched(error=refusal)
    except XinferError as error:
        return Prefetched(error=error.message)
    return Prefetched(fetched_bytes=state.bytes_total, seconds=round(time.monotonic() - began, 1))


def _refusal(state: DownloadState, cache: Path) -> str:
    """Why the files should not be brought here; empty if they may."""
    missing = state.bytes_total - state.bytes_done
    disk = shutil.disk_usage(next(folder for folder in (cache, *cache.parents) if folder.exists()))
    if disk.free - missing >= _FREE_SHARE * disk.total:
        return ""
    return (
        f"{missing / 1e9:.1f} GB are missing, and of {disk.total / 1e9:.0f} GB only {disk.free / 1e9:.1f} GB are free"
    )


def main() -> None:
    """Do what standard input says."""
    die_with_parent()
    os.nice(_NICENESS)
    asked = TypeAdapter(Prefetch).validate_json(sys.stdin.buffer.read())
    done = asyncio.run(prefetch(asked, Path(asked.log)))
    sys.stdout.write(TypeAdapter(Prefetched).dump_json(done).decode())


if __name__ == "__main__":
    main()
