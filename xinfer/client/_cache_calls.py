"""Calls about what the nodes' caches hold, and about the cluster as a whole."""

from __future__ import annotations

from xinfer.client._calls import Call, Json, _model, _params, _whole


def list_cached_models(model_name: str | None = None, worker_ip: str | None = None) -> Call[list[Json]]:
    """The models in the hub's caches of all nodes, or of one, with their sizes and the ``model_version`` of each."""
    params = _params(model_name=model_name, worker_ip=worker_ip)
    return Call("GET", "/v1/cache/models", lambda reply: list(reply["list"]), params=params)


def list_deletable_models(model_version: str, worker_ip: str | None = None) -> Call[Json]:
    """What ``confirm_and_remove_model`` would delete: its ``paths``."""
    params = _params(model_version=model_version, worker_ip=worker_ip)
    return Call("GET", "/v1/cache/models/files", _whole, params=params)


def confirm_and_remove_model(model_version: str, worker_ip: str | None = None) -> Call[bool]:
    """Delete a model from the caches; it must not be running."""
    params = _params(model_version=model_version, worker_ip=worker_ip)
    return Call("DELETE", "/v1/cache/models", lambda reply: bool(reply["result"]), params=params)


def get_model_events(model_uid: str) -> Call[list[Json]]:
    """What has happened to a model, the last hundred things, oldest first; also to one that is gone."""
    return Call("GET", _model(model_uid, "/events"), _whole)


def terminate_model_replica(model_uid: str, replica_id: int) -> Call[int]:
    """Take one replica away and return how many remain; with the last one the model goes. Serve chooses which one it is."""
    return Call("DELETE", _model(model_uid, f"/replicas/{replica_id}"), lambda reply: int(reply["remaining_replicas"]))


def abort_cluster() -> Call[Json]:
    """Stop every node of the cluster."""
    return Call("DELETE", "/v1/clusters", _whole, repeatable=False)
