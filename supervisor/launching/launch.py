"""From the body of a launch request to the record of a model."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from supervisor.launching.placement import fit
from supervisor.translate.thinking import check_thinking
from xinfer.catalog import Catalog, Family, Selection, Traits, inspect_path
from xinfer.catalog.gpu_places import NodeGpus
from xinfer.errors import LaunchRefused
from xinfer.messages import ModelSpec, ReasoningOutput
from xinfer.names import check_uid
from xinfer.settings import RUST_FRONTEND

ENGINES = ("vllm", "fake")
_ARGUMENT = re.compile(r"[A-Za-z][A-Za-z0-9_.]*\Z", re.ASCII)
_OURS = frozenset(
    {
        *("model", "served_model_name", "revision", "middleware", "api_key"),
        *("host", "port", "uds", "root_path", "ssl_keyfile", "ssl_certfile", "ssl_ca_certs"),
        *("headless", "api_server_count", "data_parallel_size", "config"),
    }
)
"""Arguments of vLLM's server that xinfer sets itself or that would open another door."""
_MEMORY_SHARE = "gpu_memory_utilization"
_NOT_THE_ENGINES = frozenset(
    {
        *("download_hub", "gpu_idx", "worker_ip", "peft_model_config", "replica_config"),
        *("virtual_env_packages", "virtual_env_find_links"),
    }
)

M = TypeVar("M", bound=BaseModel)


class LaunchRequest(BaseModel):
    """The body of ``POST /v1/models`` as Xinference's clients send it: unset fields are null, other fields are the engine's."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    model_name: str | None = None
    model_uid: str | None = None
    model_type: str | None = "LLM"
    model_engine: str | None = "vLLM"
    model_size_in_billions: int | float | str | None = None
    model_format: str | None = None
    quantization: str | None = None
    model_path: str | None = None
    revision: str | None = None
    context_length: int | None = Field(None, ge=1)
    replica: int | None = Field(1, ge=1, le=1024)
    n_worker: int | None = Field(1, ge=1, le=1)
    request_limits: int | None = Field(None, ge=1)
    idle_timeout: float | None = Field(None, gt=0, allow_inf_nan=False)
    kv_cache_gib: float | None = Field(None, gt=0, allow_inf_nan=False)
    n_gpu: int | float | str | None = "auto"
    enable_thinking: bool | None = None
    reasoning_content: bool | None = None
    include_reasoning: bool | None = None
    trust_remote_code: bool | None = False
    envs: dict[str, str] | None = None
    enable_virtual_env: bool | None = None

    @classmethod
    def read(cls, body: dict[str, Any]) -> LaunchRequest:
        """Check ``body``; ``LaunchRefused`` names the first field that is wrong."""
        request = read_fields(cls, body)
        request._refuse_what_is_not_here()
        return request

    @property
    def engine(self) -> Literal["vllm", "fake"]:
        """The engine asked for; vLLM if none is."""
        name = (self.model_engine or "vllm").lower()
        if name not in ENGINES:
            raise LaunchRefused(
                f"There is no engine {self.model_engine!r}; xinfer runs models on vLLM.", param="model_engine"
            )
        if name == "fake":
            return "fake"
        return "vllm"

    @property
    def reasoning_output(self) -> ReasoningOutput:
        """Where the reasoning goes, of requests that do not say."""
        if self.include_reasoning is False:
            return ReasoningOutput.OMIT
        if self.reasoning_content is False:
            return ReasoningOutput.INLINE
        return ReasoningOutput.SPLIT

    @property
    def engine_args(self) -> dict[str, Any]:
        """The fields that are the engine's; ``LaunchRefused`` for those that are xinfer's to set."""
        return check_engine_args(self.model_extra or {})

    def check_memory_share(self, gpus: float) -> None:
        """``LaunchRefused`` if the engine is told to take more of a GPU's memory than the share of the GPU it was given."""
        for name, value in self.engine_args.items():
            if not _MEMORY_SHARE.startswith(name):  # vLLM takes beginnings of names
                continue
            share = _number(value)
            if not 0 < share <= 1:
                raise LaunchRefused(f"{name}={value!r}: expected a share between 0 and 1.", param=name)
            if 0 < gpus < 1 and share > gpus:
                raise LaunchRefused(
                    f"{name}={share:g} is more than this model's share of the GPU, n_gpu={gpus:g}: it would take the memory of "
                    f"others on it. Ask for at most {gpus:g}, or for a larger --n-gpu.",
                    param=name,
                )

    @property
    def gpus(self) -> float | None:
        """GPUs per replica; None for ``auto``, which is as many as the model takes. ``none`` and null are the CPU."""
        if self.n_gpu == "auto":
            return None
        if self.n_gpu in (None, "none", "None", "null"):
            return 0
        count = _number(self.n_gpu or 0)
        if not (0 <= count <= 1 or (count > 1 and count.is_integer())):
            raise LaunchRefused(
                f"n_gpu={self.n_gpu!r}: expected 'auto', 'none', a whole number, or a share between 0 and 1.",
                param="n_gpu",
            )
        return count

    def _refuse_what_is_not_here(self) -> None:
        if not self.model_name and not self.model_path:
            raise LaunchRefused("Say which model: model_name (see `xinfer models`) or model_path.", param="model_name")
        if (self.model_type or "LLM").upper() != "LLM":
            raise LaunchRefused(
                f"xinfer serves language models; model_type={self.model_type!r} is none.", param="model_type"
            )
        if self.enable_virtual_env:
            raise LaunchRefused("xinfer has one environment for all models; leave it out.", param="enable_virtual_env")
        if (self.envs or {}).get(RUST_FRONTEND, "0").strip() != "0":
            raise LaunchRefused(
                f"{RUST_FRONTEND}: vLLM's Rust front end cannot load the middleware that xinfer's API needs; leave it out.",
                param="envs",
            )
        given = self.model_extra or {}
        for name in sorted(_NOT_THE_ENGINES & given.keys()):
            if given[name] is not None:
                raise LaunchRefused(f"{name} is not supported by xinfer; leave it out.", param=name)
            del given[name]


def read_fields(kind: type[M], body: dict[str, Any]) -> M:
    """``body`` as ``kind``; ``LaunchRefused`` names the first field that is wrong."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise LaunchRefused(f"{field}: {first['msg']}", param=field) from None


def check_engine_args(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that are set, by their Python names; ``LaunchRefused`` for those that are xinfer's to set."""
    args = {k.replace("-", "_"): v for k, v in given.items() if v is not None}
    for name in sorted(args):
        if not _ARGUMENT.match(name):
            raise LaunchRefused(f"{name[:100]!r} is no argument of the engine.", param=name[:100])
        stem = name.partition(".")[0]
        taken = [ours for ours in sorted(_OURS) if ours.startswith(stem)]
        if taken:  # vLLM takes beginnings of names
            raise LaunchRefused(f"xinfer sets {taken[0]} itself; leave {name} out.", param=name)
    return args


def resolve(
    request: LaunchRequest,
    *,
    uids: Collection[str],
    nodes: Sequence[NodeGpus] = (),
    catalog: Catalog | None = None,
) -> ModelSpec:
    """The record of what ``request`` asks for, on a cluster of these ``nodes``; without a ``catalog``, of what xinfer ships.

    May read the model's own files, so call it in a thread. Raises ``LaunchRefused`` or ``ThinkingNotSupported``.
    """
    catalog = catalog or Catalog.load()
    if request.model_path:
        known = _from_path(request, nodes, catalog)
    else:
        known = _from_catalog(request, nodes, catalog)
    request.check_memory_share(known.gpus)
    if request.model_uid:
        uid = check_uid(request.model_uid)
    else:
        uid = _free_uid(known.name, uids)
    spec = replace(
        known,
        uid=uid,
        revision=request.revision or known.revision,
        context_length=request.context_length or known.context_length,
        enable_thinking=request.enable_thinking,
        reasoning_output=request.reasoning_output,
        engine=request.engine,
        engine_args={**known.engine_args, **request.engine_args} if request.engine == "vllm" else request.engine_args,
        env=request.envs or {},
        replicas=request.replica or 1,
        request_limits=request.request_limits,
        idle_timeout_s=request.idle_timeout,
        kv_cache_gib=request.kv_cache_gib,
        trust_remote_code=bool(request.trust_remote_code),
        created_at=time.time(),
    )
    if request.enable_thinking is not None and "chat" in spec.abilities:
        check_thinking(request.enable_thinking, spec)
    return spec


def _from_catalog(request: LaunchRequest, nodes: Sequence[NodeGpus], catalog: Catalog) -> ModelSpec:
    choice = fit(request, catalog, nodes)
    return replace(
        _of_selection(choice.selection),
        gpus=choice.gpus,
        context_length=choice.context_length,
        chosen_because=choice.why,
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
        engine_args={**({"chat_template": family.chat_template} if family.chat_template else {}), **family.engine_args},
    )


def _from_path(request: LaunchRequest, nodes: Sequence[NodeGpus], catalog: Catalog) -> ModelSpec:
    """A model in a folder or on the hub: the facts of the family it is named after, else those in its own files."""
    path = str(request.model_path)
    traits = inspect_path(path, request.revision, request.envs)
    family = catalog.families.get(request.model_name or "")
    if family:
        known = _of_family(family)
    else:
        known = _of_traits(request.model_name or _name_of(path), traits)
    size = request.model_size_in_billions
    return replace(
        known,
        path=path,
        format=request.model_format or "pytorch",
        quantization=request.quantization,
        size_in_billions=None if size is None else str(size),
        gpus=float(any(node.gpus for node in nodes)) if request.gpus is None else request.gpus,
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


def _number(value: Any) -> float:
    """The number that ``value`` is or spells, -1 if it is none."""
    try:
        if isinstance(value, bool):
            return -1
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return -1


def _name_of(path: str) -> str:
    return path.rstrip("/").rsplit("/", 1)[-1] or "model"


def _free_uid(name: str, uids: Collection[str]) -> str:
    uid = check_uid(name)
    if uid not in uids:
        return uid
    return check_uid(f"{name[:90]}-{secrets.token_hex(4)}")
