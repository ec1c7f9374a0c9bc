"""The schema of a launch request, and the policy for the engine arguments that it may carry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from supervisor.launching.autoscaling_request import AutoscalingRequest
from xinfer.engine_args import abbreviates
from xinfer.errors import LaunchRefused
from xinfer.messages import ReasoningOutput
from xinfer.node_labels import check_labels
from xinfer.settings import RUST_FRONTEND

ENGINES = ("vllm", "fake")
_ARGUMENT = re.compile(r"[A-Za-z][A-Za-z0-9_.]*\Z", re.ASCII)
_SET_BY_XINFER = frozenset(
    {
        *("model", "served_model_name", "revision", "middleware", "api_key"),
        *("host", "port", "uds", "root_path", "ssl_keyfile", "ssl_certfile", "ssl_ca_certs"),
        *("headless", "api_server_count", "data_parallel_size", "config"),
        *("nnodes", "node_rank", "master_addr", "master_port"),
    }
)
"""Arguments of vLLM's server that xinfer sets itself or that would open another door."""
_MEMORY_SHARE = "gpu_memory_utilization"
_UNSUPPORTED = frozenset(
    {
        *("download_hub", "peft_model_config", "replica_config"),
        *("virtual_env_packages", "virtual_env_find_links"),
    }
)
"""Fields of Xinference's API that have no meaning here. Its clients send them as null, which is fine."""
_NO_GPU_INDEX = (
    "gpu_idx: Ray gives each replica GPUs that are free, and xinfer has no say in which. Choose the node with worker_ip or --on, "
    "or have a node offer only some of its GPUs with CUDA_VISIBLE_DEVICES at its start."
)
_VERSION_PARTS = 4
_UNKNOWN = "?"

M = TypeVar("M", bound=BaseModel)


class LaunchRequest(BaseModel):
    """The body of ``POST /v1/models`` as Xinference's clients send it: unset fields are null, unknown fields are the engine's."""

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
    n_worker: int | None = Field(1, ge=1, le=64)
    request_limits: int | None = Field(None, ge=1)
    idle_timeout: float | None = Field(None, gt=0, allow_inf_nan=False)
    autoscaling_config: AutoscalingRequest | None = None
    kv_cache_gib: float | None = Field(None, gt=0, allow_inf_nan=False)
    n_gpu: int | float | str | None = "auto"
    worker_ip: str | None = None
    gpu_idx: Any = None
    node_labels: dict[str, str] | None = None
    wait_for_capacity: bool | None = False
    pack: bool | None = None
    enable_thinking: bool | None = None
    reasoning_content: bool | None = None
    include_reasoning: bool | None = None
    resume: Literal[True, False, "any"] | None = None
    trust_remote_code: bool | None = False
    envs: dict[str, str] | None = None
    enable_virtual_env: bool | None = None
    declaration: dict[str, Any] | None = None

    @classmethod
    def read(cls, body: dict[str, Any]) -> LaunchRequest:
        """Check ``body``; ``LaunchRefused`` names the first field that is wrong."""
        request = read_fields(cls, body)
        request._refuse_unsupported()
        return request

    @property
    def engine(self) -> Literal["vllm", "fake"]:
        """The requested engine; vLLM by default."""
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
        """Where the reasoning goes unless a request says otherwise."""
        if self.include_reasoning is False:
            return ReasoningOutput.OMIT
        if self.reasoning_content is False:
            return ReasoningOutput.INLINE
        return ReasoningOutput.SPLIT

    @property
    def engine_args(self) -> dict[str, Any]:
        """The fields that are passed on to the engine; ``LaunchRefused`` for those that only xinfer may set."""
        return check_engine_args(self.model_extra or {})

    def check_memory_share(self, gpus: float) -> None:
        """``LaunchRefused`` if ``gpu_memory_utilization`` is no share, or more than the share of a GPU that the model gets."""
        for name, value in self.engine_args.items():
            if not abbreviates(name, _MEMORY_SHARE):
                continue
            share = number(value)
            if not 0 < share <= 1:
                raise LaunchRefused(f"{name}={value!r}: expected a share between 0 and 1.", param=name)
            if 0 < gpus < 1 and share > gpus:
                raise LaunchRefused(
                    f"{name}={share:g} is more than this model's share of the GPU, n_gpu={gpus:g}: it would take the memory of "
                    f"others on it. Ask for at most {gpus:g}, or for a larger --n-gpu.",
                    param=name,
                )

    @property
    def workers(self) -> int:
        """Nodes that share each replica."""
        return self.n_worker or 1

    @property
    def node(self) -> str | None:
        """The address of the node that the replicas have to be on; Xinference's is followed by a port."""
        if not self.worker_ip:
            return None
        host, sign, port = self.worker_ip.rpartition(":")
        if sign and port.isdecimal() and (":" not in host or host.startswith("[")):
            return host.strip("[]")
        return self.worker_ip

    @property
    def gpus(self) -> float | None:
        """GPUs per worker: None for ``auto`` (as many as the model needs), 0 for the CPU (``none`` or null)."""
        if self.n_gpu == "auto":
            return None
        if self.n_gpu in (None, "none", "None", "null"):
            return 0
        count = number(self.n_gpu or 0)
        if not (0 <= count <= 1 or (count > 1 and count.is_integer())):
            raise LaunchRefused(
                f"n_gpu={self.n_gpu!r}: expected 'auto', 'none', a whole number, or a share between 0 and 1.",
                param="n_gpu",
            )
        return count

    def _refuse_unsupported(self) -> None:
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
        if self.gpu_idx is not None:
            raise LaunchRefused(_NO_GPU_INDEX, param="gpu_idx")
        if self.wait_for_capacity:
            self._refuse_to_wait()
        try:
            check_labels(self.node_labels or {})
        except ValueError as error:
            raise LaunchRefused(f"node_labels: {error}.", param="node_labels") from None
        given = self.model_extra or {}
        for name in sorted(_UNSUPPORTED & given.keys()):
            if given[name] is not None:
                raise LaunchRefused(f"{name} is not supported by xinfer; leave it out.", param=name)
            del given[name]

    def _refuse_to_wait(self) -> None:
        if self.n_gpu == "auto":
            raise LaunchRefused(
                "wait_for_capacity: say with n_gpu how many GPUs a replica needs; the nodes to choose by are not there yet.",
                param="n_gpu",
            )
        if self.worker_ip:
            raise LaunchRefused(
                "wait_for_capacity: a node that is yet to come has another address than worker_ip; choose it by node_labels.",
                param="worker_ip",
            )


class VersionRequest(BaseModel):
    """The body of ``POST /v1/models/instance``: a model by Xinference's version string."""

    model_config = ConfigDict(protected_namespaces=())

    model_version: str
    model_uid: str | None = None
    model_engine: str | None = None
    model_type: str | None = "LLM"
    replica: int | None = 1
    n_gpu: int | float | str | None = "auto"
    replica_config: Any = None

    @classmethod
    def read(cls, body: dict[str, Any]) -> VersionRequest:
        """Check ``body``; ``LaunchRefused`` names the first field that is wrong."""
        return read_fields(cls, body)

    def as_launch(self) -> dict[str, Any]:
        """The body of ``POST /v1/models`` that asks for the same."""
        parts = self.model_version.split("--")
        if len(parts) != _VERSION_PARTS or not parts[1].endswith("B"):
            raise LaunchRefused(
                f"model_version={self.model_version[:200]!r}: expected name--sizeB--format--quantization, as in "
                "GET /v1/models/LLM/{name}/versions.",
                param="model_version",
            )
        name, size, model_format, quantization = parts
        body = {"model_name": name, "quantization": quantization}
        size = size.removesuffix("B")
        if size != _UNKNOWN:
            body["model_size_in_billions"] = size
        if model_format != _UNKNOWN:
            body["model_format"] = model_format
        return {**body, **self.model_dump(exclude={"model_version"})}


def read_fields(kind: type[M], body: dict[str, Any]) -> M:
    """``body`` as ``kind``; ``LaunchRefused`` names the first field that is wrong."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise LaunchRefused(f"{field}: {first['msg']}", param=field) from None


def check_engine_args(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that are not null, by their Python names; ``LaunchRefused`` for those that only xinfer may set."""
    args: dict[str, Any] = {}
    for name, value in given.items():
        if value is not None:
            args[name.replace("-", "_")] = value

    for name in sorted(args):
        if not _ARGUMENT.match(name):
            raise LaunchRefused(f"{name[:100]!r} is no argument of the engine.", param=name[:100])
        # vLLM takes a field of a JSON argument as "name.field".
        stem = name.partition(".")[0]
        for reserved in sorted(_SET_BY_XINFER):
            if abbreviates(stem, reserved):
                raise LaunchRefused(f"xinfer sets {reserved} itself; leave {name} out.", param=name)
    return args


def number(value: Any) -> float:
    """The number that ``value`` is or spells, -1 if it is none."""
    try:
        if isinstance(value, bool):
            return -1
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return -1
