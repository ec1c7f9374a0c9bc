"""Has a model without a GPU serve at once, and compiled from its next start on.

vLLM compiles a model before it serves: half a minute for ``tiny-chat`` on two cores, and it fails without a C++ compiler. A model
that is not compiled makes a third fewer tokens per second at few streams. So the first replica of a small model starts without
compilation, and an idle copy of its engine compiles the model beside it, at the lowest priority, into vLLM's cache. Every engine
that starts after that loads what is there.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import importlib.metadata
import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from worker.cpu_model import compiler, dtype, is_small_on_cpu
from worker.engine import Engine
from worker.vllm_build import cache_root
from xinfer.engine_args import gives_any
from xinfer.errors import LaunchFailed
from xinfer.messages import ModelSpec
from xinfer.settings import EngineSettings
from xinfer.vllm_version import vllm_version

_log = logging.getLogger("xinfer.worker")
_GIVEN = ("enforce_eager", "compilation_config", "optimization_level", "performance_mode")
"""Arguments by which a launch says itself how the model is to run."""
_LOWEST_PRIORITY = 19


def starts_uncompiled(spec: ModelSpec, settings: EngineSettings) -> bool:
    """Whether the next engine of ``spec`` is to start without compilation."""
    if settings.cpu_compilation == "before" or not _runs_either_way(spec):
        return False
    # All nodes of a replica have to do the same, and each has a cache of its own.
    return settings.cpu_compilation == "never" or spec.workers > 1 or not _marker(spec).exists()


def is_compiled(spec: ModelSpec) -> bool:
    """Whether the next engine of ``spec`` has only to load what was compiled for an earlier one, or beside it."""
    return _runs_either_way(spec) and _marker(spec).exists()


def _runs_either_way(spec: ModelSpec) -> bool:
    """Whether xinfer decides if the model is compiled."""
    return is_small_on_cpu(spec) and not gives_any(spec.engine_args, _GIVEN)


class CompileAhead:
    """Compiles one model in a second engine; ``make`` makes that engine from a spec."""

    def __init__(self, spec: ModelSpec, settings: EngineSettings, make: Callable[[ModelSpec], Engine]) -> None:
        self._spec = spec
        self._settings = settings
        self._make = make
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Once the first engine is ready: note that it has compiled the model, or begin to compile it in the background."""
        # A second engine would need a second gang.
        if self._spec.workers > 1:
            return
        if self._settings.cpu_compilation == "before":
            # The first engine has compiled it, or has loaded what was compiled.
            if _runs_either_way(self._spec):
                _note_as_compiled(self._spec)
            return
        if self._settings.cpu_compilation == "beside" and compiler() and starts_uncompiled(self._spec, self._settings):
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End the second engine, if it still runs."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        marker = _marker(self._spec)
        with _lock(marker.with_suffix(".lock")) as is_held:
            # Another replica on this node is compiling, or just has.
            if not is_held or marker.exists():
                return
            try:
                await self._compile()
            except (LaunchFailed, OSError) as error:
                # The model goes on as it is. The next replica tries again.
                _log.warning("%s was not compiled: %s", self._spec.uid, error)
                return
            _note_as_compiled(self._spec)
            _log.info("%s is compiled; its next engine loads that", self._spec.uid)

    async def _compile(self) -> None:
        compiled = replace(self._spec, engine_args={**self._spec.engine_args, "enforce_eager": False})
        engine = self._make(compiled)
        try:
            async for _ in engine.start():
                if engine.pid:
                    os.setpriority(os.PRIO_PROCESS, engine.pid, _LOWEST_PRIORITY)
        finally:
            await engine.stop()


def _marker(spec: ModelSpec) -> Path:
    """The file that says that vLLM's cache has this model compiled. It goes when the cache is removed."""
    versions = [vllm_version(), importlib.metadata.version("torch")]
    identity = [
        versions,
        spec.path,
        spec.revision,
        spec.quantization,
        spec.context_length,
        dtype(spec),
        sorted(spec.engine_args.items()),
    ]
    key = hashlib.sha256(json.dumps(identity, default=str).encode()).hexdigest()
    return cache_root() / "xinfer" / "compiled" / key[:32]


def _note_as_compiled(spec: ModelSpec) -> None:
    marker = _marker(spec)
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()


@contextmanager
def _lock(path: Path) -> Iterator[bool]:
    """Whether this process holds the lock now; another's is not waited for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
