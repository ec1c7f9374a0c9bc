"""An engine as its worker sees it: something that starts, says how far it is, answers health checks and stops."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

import aiohttp

from worker.engine_start import Start, start_plain
from worker.process import EngineProcess, ReservedPort
from worker.scratch import make_scratch
from xinfer.engine_log import LogReader, cause_of, stage_of, tail
from xinfer.errors import LaunchFailed
from xinfer.messages import ModelSpec, ReplicaStage
from xinfer.settings import EngineSettings

Argv = Callable[[ModelSpec, EngineSettings, str, int], list[str]]
Env = Callable[[ModelSpec, EngineSettings], dict[str, str]]

_POLL_PERIOD_S = 0.05
_EXIT_S = 2.0


class Engine(Protocol):
    """What a worker needs of an engine."""

    @property
    def address(self) -> str:
        """``http://host:port`` of its OpenAI server."""

    @property
    def pid(self) -> int | None:
        """Its main process, None before ``start``."""

    @property
    def context_length(self) -> int | None:
        """Tokens it can hold per request, known once it is ready."""

    def start(self) -> AsyncIterator[ReplicaStage]:
        """Start it; yields each stage as it is reached, READY last. Raises ``LaunchFailed`` with the engine's own last error."""

    async def check(self) -> None:
        """Raise if it cannot serve."""

    async def wait(self) -> None:
        """Return when it has ended."""

    async def stop(self) -> None:
        """End it and everything it started."""


class ServerEngine:
    """An engine that is an HTTP server of its own in a process group. vLLM's, unless ``argv`` names another."""

    def __init__(
        self,
        spec: ModelSpec,
        settings: EngineSettings,
        host: str,
        log: Path,
        argv: Argv,
        env: Env,
        start: Start = start_plain,
    ) -> None:
        self._spec = spec
        self._settings = settings
        self._host = host
        self._log = log
        self._argv = argv
        self._env = env
        self._start = start
        self._port: ReservedPort | None = None
        self._process: EngineProcess | None = None
        self._http: aiohttp.ClientSession | None = None
        self._scratch: Path | None = None
        self._is_up = False
        self.context_length: int | None = None

    @property
    def address(self) -> str:
        assert self._port is not None, "address of an engine that was not started"
        return f"http://{self._host}:{self._port.number}"

    @property
    def pid(self) -> int | None:
        """Its main process, None before ``start``."""
        if self._process:
            return self._process.pid
        return None

    async def start(self) -> AsyncIterator[ReplicaStage]:
        """Start the process and follow it until a real generation has answered."""
        self._port = ReservedPort(self._host)
        self._http = aiohttp.ClientSession()
        self._scratch = make_scratch()
        argv = self._argv(self._spec, self._settings, self._host, self._port.number)
        env = {**self._env(self._spec, self._settings), "TMPDIR": str(self._scratch)}
        reader = LogReader(self._log)
        self._process = await self._start(argv, env, self._log)
        yield ReplicaStage.STARTING
        try:
            async with asyncio.timeout(self._settings.start_timeout_s):
                async for stage in self._listening(reader):
                    yield stage
                yield ReplicaStage.WARMING_UP
                await self._warm_up()
        except TimeoutError:
            raise LaunchFailed(f"The engine did not come up within {self._settings.start_timeout_s:g} s.") from None
        except aiohttp.ClientError as error:
            with contextlib.suppress(TimeoutError):
                # Its log is complete when it has ended.
                await asyncio.wait_for(self.wait(), _EXIT_S)
            self._raise_if_dead()
            raise LaunchFailed(f"The engine broke off its first answer ({type(error).__name__}).") from error
        self._is_up = True
        yield ReplicaStage.READY

    async def _listening(self, reader: LogReader) -> AsyncIterator[ReplicaStage]:
        reached = ReplicaStage.STARTING
        while not await self._answers():
            self._raise_if_dead()
            stage = stage_of(reader.new_lines())
            if stage and reached.progress < stage.progress < ReplicaStage.WARMING_UP.progress:
                reached = stage
                yield stage
            await asyncio.sleep(_POLL_PERIOD_S)

    def _raise_if_dead(self) -> None:
        if self._process is None or self._process.exit_code is None:
            return
        cause = cause_of(tail(self._log))
        raise LaunchFailed(
            cause or f"The engine ended with exit code {self._process.exit_code} and no error in its log."
        )

    async def _answers(self) -> bool:
        assert self._http is not None
        try:
            async with self._http.get(f"{self.address}/health", timeout=aiohttp.ClientTimeout(5)) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _warm_up(self) -> None:
        """One short generation; a model without one answer is not ready."""
        assert self._http is not None
        body = {"model": self._spec.uid, "prompt": "Hello", "max_tokens": 2, "temperature": 0}
        async with self._http.post(f"{self.address}/v1/completions", json=body) as response:
            if response.status != 200:
                raise LaunchFailed(f"The engine listens but does not generate: {_message(await response.text())}")
        async with self._http.get(f"{self.address}/v1/models") as response:
            self.context_length = (await response.json())["data"][0].get("max_model_len")

    async def check(self) -> None:
        """Raise if the process is gone or does not answer in time."""
        if self._process is None or self._process.exit_code is not None:
            raise RuntimeError(f"the engine's process ended: {cause_of(tail(self._log)) or 'no error in its log'}")
        if not await self._answers():
            raise RuntimeError("the engine does not answer its health check")

    async def wait(self) -> None:
        """Return when the engine's process has ended."""
        if self._process:
            await self._process.wait()

    async def stop(self) -> None:
        """End the process group, at once if it has not come up, and remove what belongs to it. Safe to call twice."""
        if self._process:
            await self._process.stop(self._settings.stop_grace_s if self._is_up else 0)
        if self._http:
            await self._http.close()
        if self._port:
            self._port.close()
        if self._scratch:
            await asyncio.to_thread(shutil.rmtree, self._scratch, ignore_errors=True)


def _message(body: str) -> str:
    """The sentence in an engine's error, or the beginning of whatever else it is, in one line."""
    try:
        said = json.loads(body)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        said = body
    return " ".join(str(said).split())[:500]
