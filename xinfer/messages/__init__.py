"""What the supervisor, the registry and the workers say to each other: small frozen records that import neither side."""

from xinfer.messages.model import Ability, ModelSpec, ModelState, ThinkingMode, ThinkingSwitch
from xinfer.messages.replica import DownloadState, ReplicaReport, ReplicaStage, Route, RoutingTable, StageTime
from xinfer.messages.usage import Usage

__all__ = [
    "Ability",
    "DownloadState",
    "ModelSpec",
    "ModelState",
    "ReplicaReport",
    "ReplicaStage",
    "Route",
    "RoutingTable",
    "StageTime",
    "ThinkingMode",
    "ThinkingSwitch",
    "Usage",
]
