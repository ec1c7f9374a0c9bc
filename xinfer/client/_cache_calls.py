"""Calls about the models in the nodes' Hugging Face caches."""

from __future__ import annotations

from xinfer.client._calls import Call, Json, _params, _whole


def list_cached_models(model_name: str | None = None, worker_ip: str | None = None) -> Call[list[Json]]:
    """The models in the hub's caches of all nodes, or of one, with their sizes and the ``model_version`` of each."""
    params = _params(model_name=model_name, worker_ip=worker_ip)
    return Call("GET", "/v1/cache/models", lambda response: list(response["list"]), params=params)


def list_deletable_models(model_version: str, worker_ip: str | None = None) -> Call[Json]:
    """What ``confirm_and_remove_model`` would delete: its ``paths``."""
    params = _params(model_version=model_version, worker_ip=worker_ip)
    return Call("GET", "/v1/cache/models/files", _whole, params=params)


def confirm_and_remove_model(model_version: str, worker_ip: str | None = None) -> Call[bool]:
    """Delete a model from the caches; it must not be running."""
    params = _params(model_version=model_version, worker_ip=worker_ip)
    return Call("DELETE", "/v1/cache/models", lambda response: bool(response["result"]), params=params)
