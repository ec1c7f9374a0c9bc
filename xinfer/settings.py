"""Every setting of xinfer, once: name, default, unit and check. Flags and environment variables read their defaults from here."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path


def home() -> Path:
    """The folder that holds everything xinfer keeps: ``XINFER_HOME``, or ``~/.xinfer``."""
    return Path(os.environ.get("XINFER_HOME") or Path.home() / ".xinfer").expanduser().absolute()


DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 9997
DRAIN_TIMEOUT_S = 10.0
"""How long requests may go on when a cluster is stopped, unless somebody says otherwise."""
DEFAULT_ENDPOINT = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"


def endpoint() -> str:
    """Where clients look for a server: ``XINFER_ENDPOINT``, ``XINFERENCE_ENDPOINT``, or this machine's port 9997."""
    return os.environ.get("XINFER_ENDPOINT") or os.environ.get("XINFERENCE_ENDPOINT") or DEFAULT_ENDPOINT


class Routing(StrEnum):
    """How a supervisor chooses among the replicas of one model."""

    PREFIX = "prefix"  # the one that has seen the prompt's beginning, while they are about equally busy
    LEAST_BUSY = "least-busy"  # the one with the fewest requests
    ROUND_ROBIN = "round-robin"  # in turn


class QueueDrop(StrEnum):
    """Which request is refused when as many wait for a model as may."""

    GREEDIEST = "greediest"  # the last one of the key that has most of them waiting, in the lowest band
    NEWEST = "newest"  # the one that comes


ANY_ORIGIN = "*"
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@A-Z]+\Z")
_DEFAULT_PORTS = re.compile(r"(http://.*:80|https://.*:443)\Z")


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    max_body_bytes: int = 8 * 1024 * 1024
    """A larger request body is refused with 413 before it is held in memory."""
    connect_timeout_s: float = 5.0
    """An engine that takes longer to accept a connection counts as gone."""
    first_byte_timeout_s: float = 600.0
    """How long an engine may take to begin its response."""
    idle_timeout_s: float = 30.0
    """How long an engine may send nothing in the middle of a response before the stream ends with an error."""
    write_timeout_s: float = 60.0
    """How long a client may leave a stream unread before it is dropped and the engine's request aborted."""
    max_requests_per_replica: int = 1024
    """Requests in flight or queued at one engine unless its launch says otherwise; further ones get status 429."""
    wake_timeout_s: float = 60.0
    """How long a request waits for a sleeping model to wake."""
    queue_depth: int = 0
    """Requests with keys that may wait at one supervisor for a place at a full model; 0 refuses them at once."""
    queue_timeout_s: float = 10.0
    """How long such a request may wait."""
    queue_keep_s: float = 60.0
    """How long a place is kept for a key that has no request under way."""
    queue_drop: QueueDrop = QueueDrop.GREEDIEST
    refusals_per_s: int = 20
    """Requests without a valid key that are refused in a second; each further one waits for its turn. 0: none does."""
    supervisors: int = 1
    """Supervisors that share each engine, and so its bound."""
    routing: Routing = Routing.PREFIX
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages in browsers may use the API, as browsers write them, or ``*`` alone."""
    grafana_url: str | None = None
    """Where the boards are, for a link in the console."""

    def __post_init__(self) -> None:
        may_be_0 = {"queue_depth", "refusals_per_s"}
        for name in set(self.__slots__) - {"routing", "cors_origins", "queue_drop", "grafana_url"} - may_be_0:
            value = getattr(self, name)
            if not value > 0:
                raise ValueError(f"{name}={value!r}: expected a number above 0")
        for name in sorted(may_be_0):
            value = getattr(self, name)
            if not value >= 0:
                raise ValueError(f"{name}={value!r}: expected 0 or more")
        if self.grafana_url and not self.grafana_url.startswith(("http://", "https://")):
            raise ValueError(
                f"grafana_url={self.grafana_url!r}: expected an address that begins with http:// or https://"
            )
        self._check_origins()

    @classmethod
    def from_environment(
        cls, *, supervisors: int, routing: Routing, cors_origins: tuple[str, ...] = ()
    ) -> GatewaySettings:
        """With the limits and times that variables name, such as ``XINFER_WRITE_TIMEOUT_S``; ``ValueError`` for a wrong one."""
        variables = {each.name: f"XINFER_{each.name.upper()}" for each in fields(cls)}
        del variables["supervisors"], variables["routing"], variables["cors_origins"]
        drop = _drop(variables.pop("queue_drop"))
        grafana_url = os.environ.get(variables.pop("grafana_url")) or None
        numbers = _given(cls, variables)
        return cls(
            **numbers,  # type: ignore[arg-type]
            supervisors=supervisors,
            routing=routing,
            cors_origins=cors_origins,
            queue_drop=drop,
            grafana_url=grafana_url,
        )

    def _check_origins(self) -> None:
        for origin in self.cors_origins:
            if origin == ANY_ORIGIN and len(self.cors_origins) > 1:
                raise ValueError("cors_origins: expected either '*' or origins, not both")
            # An origin that no browser sends would allow nothing, without a word.
            if origin != ANY_ORIGIN and (not _ORIGIN.match(origin) or _DEFAULT_PORTS.match(origin)):
                raise ValueError(
                    f"cors_origins={origin!r}: expected '*' or an origin as browsers send it, such as https://chat.example: "
                    "in lower case, without a path, a slash at the end or the default port"
                )


def _drop(variable: str) -> QueueDrop:
    text = os.environ.get(variable) or QueueDrop.GREEDIEST
    try:
        return QueueDrop(text)
    except ValueError:
        raise ValueError(f"{variable}={text!r}: expected {' or '.join(QueueDrop)}") from None


def _given(settings: type, variables: dict[str, str]) -> dict[str, int | float]:
    """The fields of ``settings`` whose environment variables are set, as numbers of their defaults' types."""
    defaults = {each.name: each.default for each in fields(settings)}
    texts = {name: os.environ.get(variable) for name, variable in variables.items()}
    return {name: _number(variables[name], text, type(defaults[name])) for name, text in texts.items() if text}


def _number(variable: str, text: str, kind: type) -> int | float:
    try:
        if kind is int:
            return int(text)
        return float(text)
    except ValueError:
        expected = "a whole number" if kind is int else "a number"
        raise ValueError(f"{variable}={text!r}: expected {expected}") from None


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How a worker treats its engine, and how much memory that may take."""

    start_timeout_s: float = 1800.0
    """From the start of the process to its first response, the download of weights included."""
    stop_grace_s: float = 5.0
    """Between SIGTERM and SIGKILL."""
    finish_timeout_s: float = 30.0
    """For the requests of a replica that Serve has moved to another node."""
    health_period_s: float = 5.0
    health_timeout_s: float = 8.0
    core_timeout_s: float = 15.0
    """How long an engine core may leave a call unanswered, at most one step's time, before its engine counts as stuck. Without
    a GPU it may take so long for each billion of the model's parameters."""
    cpu_kv_cache_gib: float = 1.0
    """KV cache of an engine without a GPU; vLLM's own default would be nearly all of the machine's memory."""
    gpu_memory_share: float = 0.92
    """Fraction of a GPU's memory that a model with the whole GPU may use (vLLM's default); scaled by ``n_gpu`` below 1."""
    memory_margin_gib: float = 1.0
    """What an engine without a GPU must leave free of its machine's memory."""
    cpu_compilation: str = "beside"
    """How a small model without a GPU is compiled: ``beside`` its first engine for those that start later, ``before`` it serves,
    as larger models are, or ``never``."""
    extra_env: dict[str, str] = field(default_factory=dict)
    """Environment variables that every engine gets."""

    def __post_init__(self) -> None:
        for name in ENGINE_VARIABLES:
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name}={value!r}: expected a number above 0")
        if self.gpu_memory_share > 1:
            raise ValueError(f"gpu_memory_share={self.gpu_memory_share!r}: expected a share, above 0 and at most 1")
        if self.cpu_compilation not in CPU_COMPILATION:
            raise ValueError(
                f"{CPU_COMPILATION_VARIABLE}={self.cpu_compilation!r}: expected one of {', '.join(CPU_COMPILATION)}"
            )

    @classmethod
    def from_environment(cls) -> EngineSettings:
        """With what the environment says in ``ENGINE_VARIABLES``, and of compilation; ``ValueError`` for a wrong value."""
        numbers = _given(cls, ENGINE_VARIABLES)
        compilation = os.environ.get(CPU_COMPILATION_VARIABLE) or "beside"
        return cls(**numbers, cpu_compilation=compilation)  # type: ignore[arg-type]


ENGINE_VARIABLES = {
    "start_timeout_s": "XINFER_ENGINE_START_TIMEOUT_S",
    "stop_grace_s": "XINFER_ENGINE_STOP_GRACE_S",
    "finish_timeout_s": "XINFER_ENGINE_FINISH_TIMEOUT_S",
    "health_period_s": "XINFER_ENGINE_HEALTH_PERIOD_S",
    "health_timeout_s": "XINFER_ENGINE_HEALTH_TIMEOUT_S",
    "core_timeout_s": "XINFER_ENGINE_CORE_TIMEOUT_S",
    "cpu_kv_cache_gib": "XINFER_CPU_KV_CACHE_GIB",
    "gpu_memory_share": "XINFER_GPU_MEMORY_SHARE",
    "memory_margin_gib": "XINFER_MEMORY_MARGIN_GIB",
}
"""The environment variable of each number in ``EngineSettings``."""
CPU_COMPILATION_VARIABLE = "XINFER_CPU_COMPILATION"
CPU_COMPILATION = ("beside", "before", "never")

RUST_FRONTEND = "VLLM_USE_RUST_FRONTEND"
"""vLLM's variable for its server in Rust. That one loads no middleware, so engines are not to have it."""
