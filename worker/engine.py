"""The engine as its worker sees it: starts, reports stages, is health-checked and stops."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

import aiohttp

from worker.engine_load import read_load
from worker.engine_start import Start, start_plain
from worker.process import EngineProcess, ReservedPort
from xinfer.cluster.cluster_secret import own_engine_secret
from xinfer.cluster.environment import MARK, socket_folder
from xinfer.engine_log import LogReader, cause_of, stage_of, tail
from xinfer.errors import LaunchFailed
from xinfer.messages import EngineLoad, FollowerReport, ModelSpec, ReplicaStage
from xinfer.settings import EngineSettings
from xinfer.wire.paths import ENGINE_SECRET

Argv = Callable[[ModelSpec, EngineSettings, str, int], list[str]]
Env = Callable[[ModelSpec, EngineSettings], dict[str, str]]

_POLL_PERIOD_S = 0.05
# How long an engine may take to end after its connection broke.
_EXIT_TIMEOUT_S = 2.0
_HEALTH_TIMEOUT_S = 5.0
_HEALTHY = 200
_CORE_LOST = 503


class EngineStuck(RuntimeError):
    """The engine's own server says that its core is dead, or has not responded for too long; it will not recover."""


class Engine(Protocol):
    """The interface between a worker and its engine."""

    @property
    def address(self) -> str:
        """Base URL of its OpenAI server: ``http://host:port``."""

    @property
    def pid(self) -> int | None:
        """Its main process, None before ``start``."""

    @property
    def context_length(self) -> int | None:
        """Tokens it can hold per request, known once it is ready."""

    @property
    def followers(self) -> tuple[FollowerReport, ...]:
        """How the workers on other nodes are doing, if it spans nodes."""

    async def prepare(self) -> None:
        """Have the workers on other nodes get ready for the start. Raises ``LaunchFailed``."""

    def start(self) -> AsyncIterator[ReplicaStage]:
        """Start it and yield each stage as it is reached, READY last.

        Raises ``LaunchFailed`` with the engine's own last error.
        """

    async def check(self) -> None:
        """Raise ``RuntimeError`` if the engine cannot serve requests, ``EngineStuck`` if it never will again."""

    async def load(self) -> EngineLoad | None:
        """How busy it is, by its own account; None if it does not say."""

    async def wait(self) -> str:
        """Return when its process has ended, with a sentence that says so."""

    async def stop(self) -> None:
        """End it and everything it started."""


class ServerEngine:
    """An engine that is an HTTP server in a process group of its own: vLLM's, or the fake one.

    ``argv`` makes its command line and ``env`` its environment.
    """

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

    @property
    def followers(self) -> tuple[FollowerReport, ...]:
        """None: it is on one node."""
        return ()

    async def prepare(self) -> None:
        """Nothing has to be done elsewhere."""

    async def start(self) -> AsyncIterator[ReplicaStage]:
        """Start the process and follow it until a real generation has answered."""
        self._port = ReservedPort(self._host)
        secret = own_engine_secret()
        self._http = aiohttp.ClientSession(headers={ENGINE_SECRET: secret} if secret else None)
        self._scratch = make_scratch()
        argv = self._argv(self._spec, self._settings, self._host, self._port.number)
        env = {**self._env(self._spec, self._settings), "TMPDIR": str(self._scratch)}

        # Created before the start, so that it skips what an earlier engine has logged.
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
            limit_s = self._settings.start_timeout_s
            raise LaunchFailed(f"The engine did not come up within {limit_s:g} s.") from None
        except aiohttp.ClientError as error:
            with contextlib.suppress(TimeoutError):
                # Its log, which has the cause, is complete only when it has ended.
                await asyncio.wait_for(self.wait(), _EXIT_TIMEOUT_S)
            self._raise_if_dead()
            reason = f"The engine broke off its first answer ({type(error).__name__})."
            raise LaunchFailed(reason) from error

        self._is_up = True
        yield ReplicaStage.READY

    async def _listening(self, reader: LogReader) -> AsyncIterator[ReplicaStage]:
        reached = ReplicaStage.STARTING
        while await self._health() != _HEALTHY:
            self._raise_if_dead()
            stage = stage_of(reader.new_lines())
            # Stages never go back: an engine's processes log the same lines one after another.
            if stage and reached.progress < stage.progress < ReplicaStage.WARMING_UP.progress:
                reached = stage
                yield stage
            await asyncio.sleep(_POLL_PERIOD_S)

    def _raise_if_dead(self) -> None:
        if self._process is None or self._process.exit_code is None:
            return
        cause = cause_of(tail(self._log))
        code = self._process.exit_code
        raise LaunchFailed(cause or f"The engine ended with exit code {code} and no error in its log.")

    async def _health(self) -> int | None:
        """The status with which its server responds to a health check; None if it does not respond."""
        assert self._http is not None
        try:
            timeout = aiohttp.ClientTimeout(_HEALTH_TIMEOUT_S)
            async with self._http.get(f"{self.address}/health", timeout=timeout) as response:
                return response.status
        except (aiohttp.ClientError, TimeoutError):
            return None

    async def _warm_up(self) -> None:
        """Generate two tokens. An engine can be healthy and yet fail at its first generation."""
        assert self._http is not None
        body = {"model": self._spec.uid, "prompt": "Hello", "max_tokens": 2, "temperature": 0}
        async with self._http.post(f"{self.address}/v1/completions", json=body) as response:
            if response.status != 200:
                message = _message(await response.text())
                raise LaunchFailed(f"The engine listens but does not generate: {message}")

        async with self._http.get(f"{self.address}/v1/models") as response:
            models = await response.json()
            self.context_length = models["data"][0].get("max_model_len")

    async def check(self) -> None:
        """Raise ``RuntimeError`` if the process has ended or does not respond in time, ``EngineStuck`` if its core does not."""
        if self._process is None or self._process.exit_code is not None:
            cause = cause_of(tail(self._log)) or "no error in its log"
            raise RuntimeError(f"the engine's process ended: {cause}")
        status = await self._health()
        if status == _CORE_LOST:
            raise EngineStuck("The engine core does not respond.")
        if status != _HEALTHY:
            raise RuntimeError("the engine does not respond to its health check")

    async def load(self) -> EngineLoad | None:
        if self._http is None:
            return None
        try:
            timeout = aiohttp.ClientTimeout(_HEALTH_TIMEOUT_S)
            async with self._http.get(f"{self.address}/metrics", timeout=timeout) as response:
                return read_load(await response.text())
        # ValueError: a page that is cut off, or not the engine's.
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return None

    async def wait(self) -> str:
        if self._process:
            await self._process.wait()
        return "the engine's process ended"

    async def stop(self) -> None:
        """End the process group and remove what belongs to it. Safe to call twice."""
        if self._process:
            # Without a request to finish there is nothing to be graceful about.
            grace_s = self._settings.stop_grace_s if self._is_up else 0
            await self._process.stop(grace_s)
        if self._http:
            await self._http.close()
        if self._port:
            self._port.close()
        if self._scratch:
            await asyncio.to_thread(shutil.rmtree, self._scratch, ignore_errors=True)


def make_scratch() -> Path:
    """Make an empty folder for an engine's temporary files, such as the sockets of its processes.

    A killed engine leaves them behind, so they are kept together and removed by ``stop``.
    """
    cluster_id = os.environ.get(MARK)
    if cluster_id:
        # `xinfer stop` removes this folder if the worker does not live to do it. Its path is short,
        # as a socket's path has room for about 100 bytes.
        parent = socket_folder(cluster_id)
    else:
        parent = None
    return Path(tempfile.mkdtemp(prefix="xinfer-engine-", dir=parent))


def _message(body: str) -> str:
    """The message of an error body, or the beginning of any other body, on one line."""
    try:
        message = json.loads(body)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = body
    return " ".join(str(message).split())[:500]
