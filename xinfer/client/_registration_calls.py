"""The calls of the REST API for families, shipped and registered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from xinfer.client._calls import Call, Json, _nothing, _params, _quoted, _whole


def register_model(
    model_type: str, model: str | Mapping[str, Any], persist: bool = True, worker_ip: str | None = None
) -> Call[None]:
    """Register a family, so that it can be launched by name; ``model`` is JSON or the object itself.

    It may have xinfer's format or Xinference's. With ``persist`` it outlives the cluster. ``worker_ip`` has to be None.
    """
    text = model if isinstance(model, str) else json.dumps(model)
    body = {"model": text, "worker_ip": worker_ip, "persist": persist}
    return Call("POST", _registrations(model_type), _nothing, body, repeatable=False)


def unregister_model(model_type: str, model_name: str) -> Call[None]:
    """Remove a registered family; its running models keep running."""
    return Call("DELETE", _registrations(model_type, model_name), _nothing, repeatable=False)


def list_model_registrations(model_type: str = "LLM", detailed: bool = False) -> Call[list[Json]]:
    """The families that can be launched, shipped and registered; ``detailed`` adds everything about them."""
    return Call("GET", _registrations(model_type), _whole, params=_params(detailed=detailed))


def get_model_registration(model_type: str, model_name: str) -> Call[Json]:
    """One family with its specs."""
    return Call("GET", _registrations(model_type, model_name), _whole)


def suggest_registration(model_path: str, model_family: str | None = None) -> Call[Json]:
    """A registration for the model in a folder of the server's machine; ``model_family`` is a known family like it."""
    body = {"model_path": model_path, "model_family": model_family}
    return Call("POST", "/v1/models/llm/auto-register", _whole, body)


def get_model_versions(model_type: str, model_name: str) -> Call[list[Json]]:
    """The models of a family: each size, format and quantization, and where its files are if they are on the head."""
    return Call("GET", f"/v1/models/{_quoted(model_type)}/{_quoted(model_name)}/versions", _whole)


def query_engine_by_model_name(
    model_name: str, model_type: str | None = "LLM", enable_virtual_env: bool | None = None
) -> Call[Json]:
    """Which sizes, formats and quantizations of a family each engine can run."""
    kind = f"{_quoted(model_type)}/" if model_type else ""
    params = _params(enable_virtual_env=enable_virtual_env)
    return Call("GET", f"/v1/engines/{kind}{_quoted(model_name)}", _whole, params=params)


def vllm_models() -> Call[dict[str, list[str]]]:
    """Names of the families that vLLM runs, under ``chat`` and ``generate``."""
    return Call("GET", "/v1/models/vllm-supported", _whole)


def families() -> Call[dict[str, list[str]]]:
    """Names of the catalog's families, by ability."""
    return Call("GET", "/v1/models/families", _whole)


def prompts() -> Call[dict[str, Json]]:
    """By family, its own chat template, where its responses end, and the tags around its thoughts."""
    return Call("GET", "/v1/models/prompts", _whole)


def _registrations(model_type: str, model_name: str | None = None) -> str:
    name = "" if model_name is None else f"/{_quoted(model_name)}"
    return f"/v1/model_registrations/{_quoted(model_type)}{name}"
