"""Bare vLLM as an operator starts it: the same arguments and variables, no middleware and no cluster."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from xinfer.bench.launching.first_token import awaited_first_token
from xinfer.bench.launching.sample import Clock, Moment, Sample
from xinfer.bench.launching.subject import completion
from xinfer.cluster.ports import free_port
from xinfer.engine_log import LogReader, cause_of, stage_of, tail
from xinfer.errors import LaunchFailed
from xinfer.messages import ModelSpec

_HOST = "127.0.0.1"
_TIMEOUT_S = 600.0
_POLL_PERIOD_S = 0.05
_STOP_GRACE_S = 15.0


@dataclass(frozen=True, slots=True)
class Command:
    """The command that starts a server."""

    argv: list[str]
    env: dict[str, str]


def bare_command(spec: ModelSpec, host: str, port: int) -> Command:
    """The worker's command with vLLM's own server in it, and without our middleware."""
    # In a process of its own, since this package imports nothing of the worker's.
    words = ["-m", "worker.bare_command", msgspec.json.encode(spec).decode(), host, str(port)]
    done = subprocess.run([sys.executable, *words], stdout=subprocess.PIPE, check=True)
    return Command(**json.loads(done.stdout))


def measure_bare(
    spec: ModelSpec, folder: Path, make_command: Callable[[ModelSpec, str, int], Command] = bare_command
) -> Sample:
    """From the exec of vLLM to its first token, by stage. It has ended afterwards; its log is in ``folder``."""
    port = free_port(_HOST)
    log = folder / "bare.log"
    stages = _LoggedStages(log)
    url, body = completion(f"http://{_HOST}:{port}", spec.uid)
    # Before the clock starts: an operator has the command at hand.
    command = make_command(spec, _HOST, port)

    clock = Clock()
    process = start(command.argv, command.env, log)
    try:
        ended = awaited_first_token(
            url,
            body,
            _TIMEOUT_S,
            alive=lambda: process.poll() is None,
            period_s=_POLL_PERIOD_S,
            look=stages.read,
        )
    except LaunchFailed as error:
        raise LaunchFailed(f"Bare vLLM did not come up. {cause_of(tail(log)) or error.message}") from error
    finally:
        end(process)
    return clock.sample(ended, stages.moments, before="starting")


class _LoggedStages:
    """The stages that a log shows, each with the time at which it was read there."""

    def __init__(self, log: Path) -> None:
        self._reader = LogReader(log)
        self.moments: list[Moment] = []

    def read(self) -> None:
        stage = stage_of(self._reader.new_lines())
        if stage:
            self.moments.append((stage.value, time.time()))


def start(argv: list[str], env: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own, with its output in ``log``."""
    with log.open("wb") as output:
        return subprocess.Popen(
            argv, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the server, then SIGKILL to what is left of its group."""
    # To the server alone, which ends the processes that it started.
    process.terminate()
    deadline = time.monotonic() + _STOP_GRACE_S
    while _group_is_alive(process) and time.monotonic() < deadline:
        time.sleep(_POLL_PERIOD_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _group_is_alive(process: subprocess.Popen[bytes]) -> bool:
    # Or the server, once it has ended, would be a zombie and count as alive.
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True
