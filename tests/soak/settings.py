"""What a soak test does, for how long, and what it demands."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Part(StrEnum):
    """What can be killed."""

    WORKER = "worker"  # the Ray actor of one replica; its engine dies with it
    ENGINE_CORE = "engine core"  # vLLM's scheduler process
    API_SERVER = "API server"  # vLLM's HTTP server, the parent of the engine core
    SUPERVISOR = "supervisor"
    REGISTRY = "registry"
    CONTROLLER = "Serve controller"
    HAPROXY = "HAProxy"
    FORK_SERVER = "fork server"
    NODE = "joined node"  # the raylet of the second node, and with it all that runs there; it joins again


@dataclass(frozen=True, slots=True)
class SoakSettings:
    """One soak test. Nothing is killed while the load warms up, before the first snapshot, and before the last one."""

    duration_s: float = 600.0
    """How long parts are killed."""
    each_part: bool = False
    """Go on until each part has been killed, even if that takes longer."""
    kill_period_s: float = 30.0
    """Between two kills; longer if a part needs longer to recover."""
    launch_period_s: float = 40.0
    """Between two launches of the second model."""
    warm_up_launches: int = 20
    """Of the second model, before the first snapshot: what Ray and Serve take for the first processes is no growth."""
    warm_up_s: float = 30.0
    """Load without kills: before the first snapshot, and again before the last one."""
    settle_s: float = 20.0
    """Without load, before each snapshot."""
    recovery_timeout_s: float = 120.0
    clients: int = 4
    replicas: int = 2
    supervisors: int = 2
    seed: int = field(default_factory=lambda: random.SystemRandom().randrange(1_000_000))
    parts: tuple[Part, ...] = tuple(Part)

    success_with_retries: float = 0.999
    success_without_retries: float = 0.99
    memory_growth: float = 0.05

    def __post_init__(self) -> None:
        if self.duration_s <= 0 or self.kill_period_s <= 0:
            raise ValueError(
                f"duration_s={self.duration_s}, kill_period_s={self.kill_period_s}: expected numbers above 0"
            )

    @classmethod
    def from_environment(cls, env: Mapping[str, str] = os.environ) -> SoakSettings:
        """The defaults, changed by ``SOAK_MINUTES``, ``SOAK_KILL_SECONDS`` and ``SOAK_SEED``."""
        values: dict[str, float | int] = {}
        if "SOAK_MINUTES" in env:
            values["duration_s"] = 60 * float(env["SOAK_MINUTES"])
        if "SOAK_KILL_SECONDS" in env:
            values["kill_period_s"] = float(env["SOAK_KILL_SECONDS"])
        if "SOAK_SEED" in env:
            values["seed"] = int(env["SOAK_SEED"])
        return cls(**values)  # type: ignore[arg-type]


def json_path(env: Mapping[str, str] = os.environ) -> Path:
    """Where the report goes: ``SOAK_JSON``, or ``build/soak.json``."""
    return Path(env.get("SOAK_JSON", "build/soak.json"))
