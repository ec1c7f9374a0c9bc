"""Resolves a launch request to the model's spec: its files, parsers, GPUs, context length and UID."""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from supervisor.launching.autoscaling_request import AutoscalingRequest
from supervisor.launching.launch_request import LaunchRequest
from supervisor.launching.placement import choose_placement
from supervisor.launching.workers import check_workers, gather
from supervisor.translate.resume import RESUME_VALUES
from supervisor.translate.thinking import check_thinking
from xinfer.catalog import Catalog, Family, Selection, Traits, inspect_path
from xinfer.catalog.gpu_places import NodeGpus, whole_nodes
from xinfer.messages import ModelSpec
from xinfer.model_size import canonical_size_or_text
from xinfer.names import check_uid
from xinfer.parallel import check_parallel, given_sizes


def resolve(
    request: LaunchRequest,
    *,
    uids: Collection[str],
    nodes: Sequence[NodeGpus] = (),
    catalog: Catalog | None = None,
) -> ModelSpec:
    """The spec of the requested model on a cluster of ``nodes``. ``catalog`` is by default the one that xinfer ships.

    May read the model's own files, so call it in a thread. Raises ``LaunchRefused`` or ``ThinkingNotSupported``.
    """
    catalog = catalog or Catalog.load()
    check_workers(request)
    if request.model_path:
        known = _from_path(request, nodes, catalog)
    else:
        known = _from_catalog(request, nodes, catalog)

    # Only now is the number of GPUs known where n_gpu is "auto".
    request.check_memory_share(known.gpus)

    if request.model_uid:
        uid = check_uid(request.model_uid)
    else:
        uid = _free_uid(known.name, uids)

    # A family's arguments are for vLLM; the fake engine has others.
    engine_args = request.engine_args
    if request.engine == "vllm":
        engine_args = {**known.engine_args, **engine_args}

    replicas = request.replica or 1
    asked = replace(known, engine_args=engine_args)
    check_parallel(asked)
    workers = gather(known.workers, known.gpus, replicas, nodes)
    if workers.count < known.workers:
        engine_args = {**engine_args, **given_sizes(asked)}
    spec = replace(
        known,
        uid=uid,
        workers=workers.count,
        gpus=workers.gpus,
        chosen_because=" ".join(filter(None, (known.chosen_because, workers.why))),
        revision=request.revision or known.revision,
        context_length=request.context_length or known.context_length,
        enable_thinking=request.enable_thinking,
        reasoning_output=request.reasoning_output,
        resume=RESUME_VALUES[request.resume or False],
        engine=request.engine,
        engine_args=engine_args,
        env=request.envs or {},
        replicas=replicas,
        node=request.node,
        node_labels=request.node_labels or {},
        wait_for_capacity=bool(request.wait_for_capacity),
        pack=bool(request.pack),
        request_limits=request.request_limits,
        idle_timeout_s=request.idle_timeout,
        kv_cache_gib=request.kv_cache_gib,
        trust_remote_code=bool(request.trust_remote_code),
        declaration=request.declaration,
        created_at=time.time(),
    )
    if request.enable_thinking is not None and "chat" in spec.abilities:
        check_thinking(request.enable_thinking, spec)
    return _autoscaled(spec, request.autoscaling_config)


def _autoscaled(spec: ModelSpec, asked: AutoscalingRequest | None) -> ModelSpec:
    if asked is None:
        return spec
    spec = asked.applied_to(spec)
    assert spec.autoscaling is not None
    return replace(spec, replicas=asked.first_replicas(spec.autoscaling, spec.replicas))


def _from_catalog(request: LaunchRequest, nodes: Sequence[NodeGpus], catalog: Catalog) -> ModelSpec:
    placement = choose_placement(request, catalog, nodes)
    return replace(
        _of_selection(placement.selection),
        gpus=placement.gpus,
        workers=placement.workers,
        context_length=placement.context_length,
        chosen_because=placement.why,
    )


def _of_selection(selection: Selection) -> ModelSpec:
    return replace(
        _of_family(selection.family),
        path=str(selection.path),
        revision=selection.spec.revision,
        format=selection.spec.format,
        quantization=selection.quantization,
        size_in_billions=selection.spec.size_in_billions,
    )


def _of_family(family: Family) -> ModelSpec:
    engine_args: dict[str, Any] = {}
    if family.chat_template:
        engine_args["chat_template"] = family.chat_template
    engine_args.update(family.engine_args)

    return ModelSpec(
        uid="",
        name=family.name,
        path="",
        usual_context_length=family.context_length,
        abilities=tuple(family.abilities),
        languages=tuple(family.languages),
        description=family.description,
        thinking=family.thinking_switch(),
        reasoning_parser=family.reasoning_parser,
        tool_parser=family.tool_parser,
        stop=family.stop,
        stop_token_ids=family.stop_token_ids,
        engine_args=engine_args,
    )


def _from_path(request: LaunchRequest, nodes: Sequence[NodeGpus], catalog: Catalog) -> ModelSpec:
    """A model in a folder or on the hub: the facts of the family that ``model_name`` names, else of its own files."""
    path = str(request.model_path)
    traits = inspect_path(path, request.revision, request.envs)
    family = catalog.families.get(request.model_name or "")
    if family:
        known = _of_family(family)
    else:
        known = _of_traits(request.model_name or _name_of(path), traits)

    gpus = request.gpus
    if gpus is None and request.workers > 1:
        gpus = whole_nodes(nodes, request.workers)
    if gpus is None:
        # How large it is nobody knows: one GPU if the cluster has any.
        gpus = float(any(node.gpus for node in nodes))

    size = request.model_size_in_billions
    return replace(
        known,
        path=path,
        format=request.model_format or "pytorch",
        quantization=request.quantization,
        size_in_billions=None if size is None else canonical_size_or_text(size),
        gpus=gpus,
        workers=request.workers,
    )


def _of_traits(name: str, traits: Traits) -> ModelSpec:
    return ModelSpec(
        uid="",
        name=name,
        path="",
        usual_context_length=traits.context_length,
        abilities=traits.abilities,
        thinking=traits.thinking,
        reasoning_parser=traits.reasoning_parser,
        tool_parser=traits.tool_parser,
    )


def _name_of(path: str) -> str:
    return path.rstrip("/").rsplit("/", 1)[-1] or "model"


def _free_uid(name: str, uids: Collection[str]) -> str:
    uid = check_uid(name)
    if uid not in uids:
        return uid
    # 90 characters leave room for the suffix within names.UID_MAX_LENGTH.
    return check_uid(f"{name[:90]}-{secrets.token_hex(4)}")
