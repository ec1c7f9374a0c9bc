"""Every setting of xinfer, once: name, default, unit and check. Flags and environment variables read their defaults from here."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path


def home() -> Path:
    """The folder that holds everything xinfer keeps: ``XINFER_HOME``, or ``~/.xinfer``."""
    return Path(os.environ.get("XINFER_HOME") or Path.home() / ".xinfer").expanduser().absolute()


DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 9997
DEFAULT_ENDPOINT = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"


def endpoint() -> str:
    """Where clients look for a server: ``XINFER_ENDPOINT``, ``XINFERENCE_ENDPOINT``, or this machine's port 9997."""
    return os.environ.get("XINFER_ENDPOINT") or os.environ.get("XINFERENCE_ENDPOINT") or DEFAULT_ENDPOINT


class Routing(StrEnum):
    """How a supervisor chooses among the replicas of one model."""

    PREFIX = "prefix"  # the one that has seen the prompt's beginning, while they are about equally busy
    LEAST_BUSY = "least-busy"  # the one with the fewest requests
    ROUND_ROBIN = "round-robin"  # in turn


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """How a supervisor treats requests."""

    max_body_bytes: int = 8 * 1024 * 1024
    """A larger request body is refused with 413 before it is held in memory."""
    connect_timeout_s: float = 5.0
    """An engine that takes longer to accept a connection counts as gone."""
    first_byte_timeout_s: float = 600.0
    """How long an engine may take to begin its answer."""
    idle_timeout_s: float = 120.0
    """How long an engine may stand still in the middle of an answer before it is ended with an error."""
    write_timeout_s: float = 60.0
    """How long a client may leave a stream unread before it is dropped and the engine's request aborted."""
    max_requests_per_replica: int = 1024
    """Requests in flight or queued at one engine unless its launch says otherwise; beyond it requests are answered 429."""
    supervisors: int = 1
    """Supervisors that share each engine, and so its bound."""
    routing: Routing = Routing.PREFIX

    def __post_init__(self) -> None:
        for name in set(self.__slots__) - {"routing"}:
            value = getattr(self, name)
            if not value > 0:
                raise ValueError(f"{name}={value!r}: expected a number above 0")

    @classmethod
    def from_environment(cls, *, supervisors: int, routing: Routing) -> GatewaySettings:
        """With the limits and times that variables name, such as ``XINFER_WRITE_TIMEOUT_S``; ``ValueError`` for a wrong one."""
        given: dict[str, int | float] = {}
        for each in fields(cls):
            text = os.environ.get(f"XINFER_{each.name.upper()}")
            if text and each.name not in ("supervisors", "routing"):
                given[each.name] = _number(each.name, text, type(each.default))
        return cls(**given, supervisors=supervisors, routing=routing)  # type: ignore[arg-type]


def _number(name: str, text: str, kind: type) -> int | float:
    try:
        return int(text) if kind is int else float(text)
    except ValueError:
        expected = "a whole number" if kind is int else "a number"
        raise ValueError(f"XINFER_{name.upper()}={text!r}: expected {expected}") from None


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How a worker treats its engine."""

    start_timeout_s: float = 1800.0
    """From the process's start to its first answer, the download of weights included."""
    stop_grace_s: float = 5.0
    """Between SIGTERM and SIGKILL."""
    health_period_s: float = 5.0
    health_timeout_s: float = 10.0
    cpu_kv_cache_gib: float = 1.0
    """KV cache of an engine without a GPU; vLLM's own default would be half of the machine's memory."""
    extra_env: dict[str, str] = field(default_factory=dict)
    """Environment variables that every engine gets."""
