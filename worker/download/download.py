"""What a worker uses: whether a launch has to download, and the download itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

from worker.download.cache import cache_folder, cached_commit
from worker.download.layout import layout
from worker.download.source import Source
from xinfer.engine_log import cause_of
from xinfer.errors import LaunchFailed
from xinfer.messages import DownloadState
from xinfer.process_lifetime import PARENT_VARIABLE

_GRACE_S = 1.0


def needs_download(source: Source, env: Mapping[str, str]) -> bool:
    """Whether an engine with the environment ``env`` would have to download. Looks at the disk
    only; in doubt it is true.

    False says that the revision is here as it was when the hub was last asked.
    """
    if not source.is_on_hub(env):
        return False
    cache = cache_folder(env)
    commit = cached_commit(cache, source.repo, source.revision)
    parts = layout(source, cache, commit) if commit else None
    return parts is None or not all(part.is_here for part in parts)


async def fetch(source: Source, env: Mapping[str, str], log: Path) -> AsyncGenerator[DownloadState, None]:
    """Bring all files of ``source`` into the cache, telling how far it is, and end when they
    are there.

    Raises ``LaunchFailed`` with the hub's own error. When it is closed or its task is
    cancelled, its process is gone before it returns; leave a loop over it early only within
    ``contextlib.aclosing``. What the hub's library warns of goes to ``log``.
    """
    process = await _start(source, env, log)
    try:
        assert process.stdout is not None
        async for text in process.stdout:
            line = json.loads(text)
            if "done" in line:
                return
            if "error" in line:
                # The same advice as engines'.
                raise LaunchFailed(cause_of([f"error: {line['error']}"]) or line["error"])
            yield DownloadState(**line["progress"])
        raise LaunchFailed(f"The download's process ended with exit code {await process.wait()} and no error.")
    finally:
        await _end(process)


async def _start(source: Source, env: Mapping[str, str], log: Path) -> asyncio.subprocess.Process:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as warnings:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "worker.download.process", source.to_json()),
            env={**env, PARENT_VARIABLE: str(os.getpid())},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=warnings,
            start_new_session=True,
        )


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the process and its group: it gets a moment to remove half a file, then it is killed."""
    try:
        if process.returncode is None:
            process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_S):
                await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
