"""What the supervisor, the registry and the workers say to each other: small frozen records that import neither side."""

from xinfer.messages.event import Event, EventType
from xinfer.messages.metrics import (
    STAGE_BOUNDS_S,
    Histogram,
    LaunchOutcome,
    ModelLife,
    ModelMetrics,
    Outcome,
    ReplicaEnd,
    ReplicaLoad,
    RoutingCounts,
    RoutingReason,
    Usage,
)
from xinfer.messages.model import (
    SETTLED,
    Ability,
    BudgetParameter,
    EffortParameter,
    ModelSpec,
    ModelState,
    ReasoningOutput,
    Resume,
    ThinkingMode,
    ThinkingSwitch,
)
from xinfer.messages.registration import Registration
from xinfer.messages.replica import DownloadState, ModelStatus, ModelTable, ReplicaReport, ReplicaStage, StageTime

__all__ = [
    "SETTLED",
    "STAGE_BOUNDS_S",
    "Ability",
    "BudgetParameter",
    "DownloadState",
    "EffortParameter",
    "Event",
    "EventType",
    "Histogram",
    "LaunchOutcome",
    "ModelLife",
    "ModelMetrics",
    "ModelSpec",
    "ModelState",
    "ModelStatus",
    "ModelTable",
    "Outcome",
    "ReasoningOutput",
    "Registration",
    "ReplicaEnd",
    "ReplicaLoad",
    "ReplicaReport",
    "ReplicaStage",
    "Resume",
    "RoutingCounts",
    "RoutingReason",
    "StageTime",
    "ThinkingMode",
    "ThinkingSwitch",
    "Usage",
]
