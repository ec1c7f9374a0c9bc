"""What the supervisor, the registry and the workers say to each other: small frozen records that import neither side."""

from xinfer.messages.access import (
    ApiKey,
    AuditEntry,
    KeyChanges,
    KeyLimits,
    KeyScope,
    KeyShare,
    Priority,
    Tokens,
    UsageReport,
    UsageRow,
)
from xinfer.messages.event import Event, EventType
from xinfer.messages.metrics import Histogram, ModelMetrics, ReplicaLoad, Usage
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
    "Ability",
    "ApiKey",
    "AuditEntry",
    "BudgetParameter",
    "DownloadState",
    "EffortParameter",
    "Event",
    "EventType",
    "Histogram",
    "KeyChanges",
    "KeyLimits",
    "KeyScope",
    "KeyShare",
    "ModelMetrics",
    "ModelSpec",
    "ModelState",
    "ModelStatus",
    "ModelTable",
    "Priority",
    "ReasoningOutput",
    "Registration",
    "ReplicaLoad",
    "ReplicaReport",
    "ReplicaStage",
    "Resume",
    "StageTime",
    "ThinkingMode",
    "ThinkingSwitch",
    "Tokens",
    "Usage",
    "UsageReport",
    "UsageRow",
]
