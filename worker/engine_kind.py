"""What a launch's engine is made of: vLLM, or the fake one."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from typing import Protocol

from worker.command import engine_argv
from worker.engine_start import Start, start_forked, start_plain
from worker.gang.seat import Seat
from xinfer.messages import ModelSpec
from xinfer.settings import EngineSettings


class Command(Protocol):
    """Makes an engine's command line; ``seat`` is that of a worker in a gang."""

    def __call__(
        self, spec: ModelSpec, settings: EngineSettings, host: str, port: int, /, seat: Seat | None = None
    ) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class EngineKind:
    """How an engine's process is started."""

    argv: Command
    start: Start


def kind_of(spec: ModelSpec) -> EngineKind:
    """The kind that ``spec`` asks for."""
    if spec.engine == "fake":
        return EngineKind(fake_argv, start_plain)
    return EngineKind(engine_argv, start_forked)


def fake_argv(spec: ModelSpec, _settings: EngineSettings, host: str, port: int, seat: Seat | None = None) -> list[str]:
    """The command of the fake engine; ``spec.engine_args`` are the fields of its ``Behaviour``."""
    behaviour = json.dumps(spec.engine_args)
    context_length = str(spec.context_length or 4096)
    command = [sys.executable, "-m", "worker.fake.server"]
    argv = [*command, host, str(port), spec.uid, context_length, behaviour]
    if seat:
        argv.append(json.dumps(asdict(seat)))
    return argv
