"""A cluster in memory, with the calls that ``Performer`` makes and the rules that the real one has for them."""

from __future__ import annotations

import json
from typing import Any

from xinfer.errors import Conflict, LaunchRefused, ModelNotFound, XinferError


class ClusterDouble:
    """``refuses`` names models that cannot be launched; ``calls`` is what changed it."""

    def __init__(self, *, refuses: set[str] | None = None) -> None:
        self.models: dict[str, dict[str, Any]] = {}
        self.refuses = refuses or set()
        self.calls: list[str] = []

    def get_instance_info(self, model_name: str | None = None, model_uid: str | None = None) -> list[dict[str, Any]]:
        return json.loads(json.dumps(list(self.models.values())))  # type: ignore[no-any-return]

    def launch_model(self, *, model_name: str, **fields: Any) -> str:
        assert fields["wait_ready"] is False
        uid = str(fields["model_uid"])
        self.calls.append(f"launch {uid}")
        if uid in self.refuses:
            raise LaunchRefused(f"no room for {uid}")
        if uid in self.models and self.models[uid]["status"] not in ("ERROR", "TERMINATED"):
            raise Conflict(f"{uid} is in use")
        self.put(uid, fields.get("replica", 1), fields.get("declaration"))
        return uid

    def terminate_model(self, model_uid: str) -> None:
        self.calls.append(f"terminate {model_uid}")
        if model_uid not in self.models:
            raise ModelNotFound(model_uid)
        del self.models[model_uid]

    def add_model_replica(self, model_uid: str, *, replica: int, wait_ready: bool) -> dict[str, Any]:
        self.calls.append(f"add {replica} to {model_uid}")
        self._up(model_uid)["replica"] += replica
        return {}

    def terminate_model_replica(self, model_uid: str, replica_id: int) -> int:
        self.calls.append(f"remove one of {model_uid}")
        model = self._up(model_uid)
        if not 0 <= replica_id < model["replica"]:
            raise XinferError("no such replica")
        model["replica"] -= 1
        return int(model["replica"])

    def put(self, uid: str, replica: int = 1, declaration: dict[str, Any] | None = None, status: str = "READY") -> None:
        """Have a model in a state of its own."""
        instance = {"model_uid": uid, "replica": replica, "status": status, "declaration": declaration, "reason": None}
        self.models[uid] = instance

    def _up(self, uid: str) -> dict[str, Any]:
        model = self.models[uid]
        if model["status"] != "READY":
            raise Conflict(f"{uid} is not up")
        return model
