"""What the supervisor, the registry and the workers say to each other: small frozen records that import neither side."""

from xinfer.messages.model import Ability, ModelSpec, ModelState, ThinkingMode, ThinkingSwitch
from xinfer.messages.replica import ReplicaReport, ReplicaStage, Route, RoutingTable

__all__ = [
    "Ability",
    "ModelSpec",
    "ModelState",
    "ReplicaReport",
    "ReplicaStage",
    "Route",
    "RoutingTable",
    "ThinkingMode",
    "ThinkingSwitch",
]
