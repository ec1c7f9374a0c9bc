"""Records that tests of the supervisor are made of; each takes what a test cares about and fills in the rest."""

from __future__ import annotations

import time
from typing import Any

from xinfer.messages import (
    ModelSpec,
    ModelState,
    ModelStatus,
    ModelTable,
    NodeReport,
    ReplicaReport,
    ReplicaStage,
    StageTime,
    ThinkingMode,
    ThinkingSwitch,
)

SWITCH = ThinkingSwitch(ThinkingMode.SWITCH, ("enable_thinking",), True, False, True)
ALWAYS = ThinkingSwitch(ThinkingMode.ALWAYS)
NEVER = ThinkingSwitch(ThinkingMode.NEVER)
ON_OFF = ThinkingSwitch(ThinkingMode.SWITCH, ("thinking_mode",), "on", "off", None)


def spec(uid: str = "m", **facts: Any) -> ModelSpec:
    """A chat model whose template has a switch."""
    return ModelSpec(
        **{"uid": uid, "name": "family", "path": "/models/m", "abilities": ("chat",), "thinking": SWITCH, **facts}
    )


def report(
    replica: str = "r1", stage: ReplicaStage = ReplicaStage.READY, uid: str = "m", **facts: Any
) -> ReplicaReport:
    """What a replica says; a ready one has an address."""
    if stage is ReplicaStage.READY:
        facts.setdefault("address", f"http://127.0.0.1:1/{replica}")
    return ReplicaReport(uid, replica, stage, **facts)


def node_report(node: str = "0" * 56, **facts: Any) -> NodeReport:
    """What the agent of a node says of it, as of now."""
    usual = {
        "node": node,
        "hostname": "host-1",
        "version": "0.1.0",
        "cpu_count": 8,
        "cpu_percent": 25.0,
        "memory_total": 1000,
        "memory_available": 600,
        "disk_total": 2000,
        "disk_free": 500,
        "fork_server": "ready",
        "python": "3.11.2",
        "ray": "2.60.0",
        "measured_at": time.time(),
    }
    return NodeReport(**{**usual, **facts})


def model_status(
    *replicas: ReplicaReport,
    state: ModelState = ModelState.READY,
    reason: str = "",
    times: tuple[StageTime, ...] = (),
    ended: ReplicaReport | None = None,
    restored: bool = False,
    **facts: Any,
) -> ModelStatus:
    """A model as the supervisor sees it."""
    return ModelStatus(spec(**facts), state, reason, replicas, times, ended=ended, restored=restored)


def times(**began_at: float) -> tuple[StageTime, ...]:
    """``times(pending=1, placing=2)``: when each stage began."""
    return tuple(StageTime(ReplicaStage(name), at) for name, at in began_at.items())


def table(*routes: ModelStatus, version: int = 1, families: tuple[str, ...] = ()) -> ModelTable:
    """All models."""
    return ModelTable(version, {each.spec.uid: each for each in routes}, families)
