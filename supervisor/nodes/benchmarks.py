"""Runs of ``xinfer bench`` on this node: one at a time, in a process of its own, their results in the node's home.

Not in a supervisor, whose event loop the load would share with everybody's requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from xinfer.bench.progress_events import PREFIX
from xinfer.messages import BenchmarkRun, BenchmarkState
from xinfer.process_lifetime import PARENT_VARIABLE, die_with_parent

_log = logging.getLogger("xinfer.node")
LIMIT_S = 900.0
"""A run that takes longer is ended."""
KEPT = 50
"""Runs whose results are kept, the latest ones."""
_LONGEST_LINE = 1024 * 1024
_LAST_LINES = 3


class Benchmarks:
    """The runs of a node. ``command`` is the beginning of the command line that runs one."""

    def __init__(self, folder: Path, command: Sequence[str] = (), limit_s: float = LIMIT_S) -> None:
        self._folder = folder
        self._command = command or (sys.executable, "-m", "supervisor.nodes.benchmarks")
        self._limit_s = limit_s
        self._runs = dict(_read(folder))
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    def all(self) -> list[BenchmarkRun]:
        """Latest first."""
        return list(reversed(self._runs.values()))

    async def start(
        self, endpoint: str, model: str, profile: str, api_key: str | None, started_by: str
    ) -> BenchmarkRun | None:
        """Begin to load ``model`` through the REST API at ``endpoint``; None while another run is under way."""
        if self._task and not self._task.done():
            return None
        run = BenchmarkRun(uuid.uuid4().hex[:12], model, profile, started_by, BenchmarkState.RUNNING, time.time())
        self._runs[run.id] = run
        words = (endpoint, "--model", model, "--profile", profile, "--json", "-", "--progress", "json")
        self._task = asyncio.create_task(self._carry_out(run.id, words, api_key))
        return run

    async def end(self, run_id: str) -> None:
        """Cancel the run if it is under way; else forget it."""
        run = self._runs.get(run_id)
        if run is None:
            return
        if run.state is BenchmarkState.RUNNING and self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            return
        del self._runs[run_id]
        _file(self._folder, run_id).unlink(missing_ok=True)

    async def wait(self, run_id: str, version: int, timeout_s: float) -> BenchmarkRun | None:
        """The run once its version is above ``version``, or after ``timeout_s`` as it is; None without such a run."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: self._version(run_id) > version)
        return self._runs.get(run_id)

    def _version(self, run_id: str) -> float:
        run = self._runs.get(run_id)
        return run.version if run else float("inf")

    async def _carry_out(self, run_id: str, words: Sequence[str], api_key: str | None) -> None:
        # In the environment: command lines are for everybody on the machine to read.
        env = {**os.environ, PARENT_VARIABLE: str(os.getpid())}
        env.pop("XINFER_API_KEY", None)
        if api_key:
            env["XINFER_API_KEY"] = api_key
        process = await asyncio.create_subprocess_exec(
            *self._command,
            *words,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE,
        )
        assert process.stdout
        assert process.stderr
        said: list[str] = []
        try:
            async with asyncio.timeout(self._limit_s):
                output, _ = await asyncio.gather(process.stdout.read(), self._follow(run_id, process.stderr, said))
                code = await process.wait()
            end = outcome(code, output, said)
        except TimeoutError:
            end = {"state": BenchmarkState.CANCELLED, "error": f"It took more than {self._limit_s:.0f} s."}
        except asyncio.CancelledError:
            await self._change(run_id, state=BenchmarkState.CANCELLED, ended_at=time.time())
            raise
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        await self._change(run_id, ended_at=time.time(), **end)
        await asyncio.to_thread(_write, self._folder, self._runs[run_id])
        self._forget_oldest()

    async def _follow(self, run_id: str, lines: asyncio.StreamReader, said: list[str]) -> None:
        """Take in the progress; other lines, the last of which may be an error, are added to ``said``."""
        async for line in _texts(lines):
            if line.startswith(PREFIX):
                await self._change(run_id, **progress(self._runs[run_id], json.loads(line.removeprefix(PREFIX))))
            elif line:
                said.append(line)

    async def _change(self, run_id: str, **changes: Any) -> None:
        run = self._runs[run_id]
        self._runs[run_id] = replace(run, version=run.version + 1, **changes)
        async with self._changed:
            self._changed.notify_all()

    def _forget_oldest(self) -> None:
        for run_id in list(self._runs)[:-KEPT]:
            del self._runs[run_id]
            _file(self._folder, run_id).unlink(missing_ok=True)


def progress(run: BenchmarkRun, event: Mapping[str, Any]) -> dict[str, Any]:
    """What an event changes about a run."""
    match event["event"]:
        case "begin":
            return {"step": event["step"], "requests_done": 0, "requests_total": event["total"]}
        case "done":
            return {"requests_done": event["done"]}
        case _:
            return {"legs": (*run.legs, event["metrics"])}


def outcome(code: int, output: bytes, said: Sequence[str]) -> dict[str, Any]:
    """What the end of the process says of the run."""
    if code == 0:
        with contextlib.suppress(ValueError):
            return {"state": BenchmarkState.DONE, "result": json.loads(output)}
    error = " ".join(said[-_LAST_LINES:]).removeprefix("Error: ") or f"xinfer bench ended with {code}."
    return {"state": BenchmarkState.FAILED, "error": error}


async def _texts(lines: asyncio.StreamReader) -> AsyncIterator[str]:
    while line := await lines.readline():
        yield line.decode(errors="replace").strip()


def _file(folder: Path, run_id: str) -> Path:
    return folder / f"{run_id}.json"


def _write(folder: Path, run: BenchmarkRun) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    draft = _file(folder, run.id).with_suffix(".new")
    draft.write_text(json.dumps(asdict(run)))
    draft.replace(_file(folder, run.id))


def _read(folder: Path) -> list[tuple[str, BenchmarkRun]]:
    """The runs that have ended, oldest first; a file that cannot be read is left alone."""
    runs: list[BenchmarkRun] = []
    for file in folder.glob("*.json"):
        try:
            facts = json.loads(file.read_text())
            runs.append(
                BenchmarkRun(**{**facts, "state": BenchmarkState(facts["state"]), "legs": tuple(facts["legs"])})
            )
        except (OSError, ValueError, TypeError, KeyError) as error:
            _log.warning("the benchmark in %s was not read: %s", file, error)
    return [(run.id, run) for run in sorted(runs, key=lambda run: run.began_at)]


if __name__ == "__main__":
    # The kernel ends the load with the agent that wanted it.
    die_with_parent()
    from xinfer.cli import xinfer

    xinfer(["bench", *sys.argv[1:]])
