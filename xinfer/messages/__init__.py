"""What the supervisor, the registry and the workers say to each other: small frozen records that import neither side."""

from xinfer.messages.autoscaling import (
    AutoscalingConfig,
    EngineLoad,
    ReplicaOrders,
    ScalingDecision,
    ScalingStatus,
    Schedule,
    SupervisorLoad,
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
from xinfer.messages.node import GpuReport, NodeReport
from xinfer.messages.registration import Registration
from xinfer.messages.replica import DownloadState, ModelStatus, ModelTable, ReplicaReport, ReplicaStage, StageTime

__all__ = [
    "SETTLED",
    "Ability",
    "AutoscalingConfig",
    "BudgetParameter",
    "DownloadState",
    "EffortParameter",
    "EngineLoad",
    "Event",
    "EventType",
    "GpuReport",
    "Histogram",
    "ModelMetrics",
    "ModelSpec",
    "ModelState",
    "ModelStatus",
    "ModelTable",
    "NodeReport",
    "ReasoningOutput",
    "Registration",
    "ReplicaLoad",
    "ReplicaOrders",
    "ReplicaReport",
    "ReplicaStage",
    "Resume",
    "ScalingDecision",
    "ScalingStatus",
    "Schedule",
    "StageTime",
    "SupervisorLoad",
    "ThinkingMode",
    "ThinkingSwitch",
    "Usage",
]
