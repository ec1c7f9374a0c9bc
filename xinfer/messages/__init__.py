"""What the supervisor, the registry and the workers say to each other: small frozen records that import neither side."""

from xinfer.messages.event import Event, EventType
from xinfer.messages.model import (
    SETTLED,
    Ability,
    BudgetWords,
    EffortWords,
    ModelSpec,
    ModelState,
    ReasoningOutput,
    ThinkingMode,
    ThinkingSwitch,
)
from xinfer.messages.replica import DownloadState, ReplicaReport, ReplicaStage, Route, RoutingTable, StageTime
from xinfer.messages.usage import Usage

__all__ = [
    "SETTLED",
    "Ability",
    "BudgetWords",
    "DownloadState",
    "EffortWords",
    "Event",
    "EventType",
    "ModelSpec",
    "ModelState",
    "ReasoningOutput",
    "ReplicaReport",
    "ReplicaStage",
    "Route",
    "RoutingTable",
    "StageTime",
    "ThinkingMode",
    "ThinkingSwitch",
    "Usage",
]
