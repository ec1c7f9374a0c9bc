"""How the number of a model's replicas follows its load: what is asked for, what is known of the load, what was decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Schedule:
    """Other bounds at some hours of some days, as in ``Mon-Fri 08:00-20:00 min=2``. Made by ``xinfer.schedules``."""

    text: str
    """As it was given."""
    days: tuple[int, ...]
    """0 is Monday. The day on which the hours begin counts."""
    begins: int
    """Minutes after midnight, by the clocks of ``time_zone``."""
    ends: int
    """The same; not after ``begins`` if the hours go on after midnight."""
    time_zone: str = "UTC"
    min_replicas: int | None = None
    max_replicas: int | None = None


@dataclass(frozen=True, slots=True)
class AutoscalingConfig:
    """The names are Ray Serve's where Serve has the setting."""

    min_replicas: int = 1
    """0 lets the model sleep after its idle timeout; the next request wakes it."""
    max_replicas: int = 1
    target_ongoing_requests: float | None = None
    """Requests per replica, running and waiting. Without it and ``target_ttft_s`` the engines say when they are full."""
    target_ttft_s: float | None = None
    """90 of 100 streams shall have their first token after so many seconds."""
    upscale_delay_s: float = 2.0
    """For so long each measurement has to ask for more replicas before there are more."""
    downscale_delay_s: float = 300.0
    """For so long each measurement has to do with fewer before there are fewer."""
    drain_timeout_s: float = 600.0
    """What a replica that goes may take to finish its requests."""
    priority: float = 1.0
    """The model's weight when there are not enough GPUs for all."""
    schedules: tuple[Schedule, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """What an engine says of itself."""

    running: int = 0
    waiting: int = 0
    """Requests that it has taken but not begun."""
    kv_cache_usage: float = 0.0
    """Share of its KV cache that running requests hold, 0 to 1."""


@dataclass(frozen=True, slots=True)
class SupervisorLoad:
    """What one supervisor knows of one model's load. Counters grow from the supervisor's start on."""

    in_flight: int = 0
    """Requests under way, those included that wait for the model to wake."""
    arrived: int = 0
    """Requests so far."""
    refused: int = 0
    """Requests so far that were refused because every replica had as many as it may have."""
    oldest_unanswered_s: float = 0.0
    """Age of the oldest request of which nothing has come back yet; 0 if there is none."""
    first_tokens: tuple[int, ...] = ()
    """The counts of the histogram of times to the first token."""
    replicas: Mapping[str, int] = field(default_factory=dict)
    """Requests under way at each replica."""


@dataclass(frozen=True, slots=True)
class ScalingDecision:
    """The desired number of replicas has changed, or could not."""

    at: float
    """Unix time in seconds."""
    before: int
    desired: int
    reason: str


@dataclass(frozen=True, slots=True)
class ScalingStatus:
    """How a model is scaled, for people."""

    desired: int
    ready: int
    starting: int
    leaving: int
    """Replicas that finish their requests and go."""
    config: AutoscalingConfig | None = None
    min_replicas: int | None = None
    """As it is now, by the schedules; None without autoscaling."""
    max_replicas: int | None = None
    blocked: str = ""
    """Why it cannot grow although it should."""
    load: Mapping[str, float] = field(default_factory=dict)
    """The latest measurement."""
    decisions: tuple[ScalingDecision, ...] = ()
    """The last ten, oldest first."""


@dataclass(frozen=True, slots=True)
class ReplicaOrders:
    """What the registry has a replica do; the answer to each of its reports."""

    start: bool = True
    """False as long as it is not wanted: Serve replaces a replica that has left until it knows that there are to be fewer."""
    measure: bool = False
    """Report the engine's load every second."""
    leave: bool = False
    """No supervisor sends it anything any more: end once the engine has finished."""
    leave_at_once: bool = False
    """Its time to finish is over, or nobody wants it to."""
