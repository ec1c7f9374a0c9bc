"""Every setting of xinfer, once: name, default, unit and check. Flags and environment variables read their defaults from here."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
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
    """How long a stream may stand still before it is ended with an error."""
    max_connections_per_replica: int = 1024
    """Requests in flight at one engine from one supervisor; beyond it requests are answered 429."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not value > 0:
                raise ValueError(f"{name}={value!r}: expected a number above 0")


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
