"""What a model is and what it can do: the record that a launch makes and everybody reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from xinfer.messages.autoscaling import AutoscalingConfig

Ability = Literal["chat", "generate", "tools", "vision", "audio", "omni", "reasoning", "hybrid"]


class ModelState(StrEnum):
    """Where a model is in its life."""

    PENDING = "PENDING"  # asked for and recorded, nothing started yet; it may wait for a node to have a place on
    LAUNCHING = "LAUNCHING"  # its replicas are on their way up
    READY = "READY"  # at least one replica has answered a real generation
    DRAINING = "DRAINING"  # about to sleep: nobody sends it requests, but its engines and GPUs are still there
    SLEEPING = "SLEEPING"  # idle for so long that it gave its resources back; the next request wakes it
    FAILED = "FAILED"  # given up; the reason is kept
    CANCELLED = "CANCELLED"  # its launch was given up by whoever asked for it
    TERMINATING = "TERMINATING"  # on its way out, no longer routed to


SETTLED = frozenset({ModelState.FAILED, ModelState.CANCELLED})
"""States of launches that are over and kept for those who ask."""


class ThinkingMode(StrEnum):
    """Whether a family can be told to think."""

    SWITCH = "switch"  # the chat template reads a switch
    ALWAYS = "always"  # it thinks, whatever one asks
    NEVER = "never"  # it does not know how to


class ReasoningOutput(StrEnum):
    """Where an answer has what was thought, unless its request says otherwise."""

    SPLIT = "split"  # in reasoning_content, beside content
    INLINE = "inline"  # in content, between the family's tags
    OMIT = "omit"  # nowhere


class Resume(StrEnum):
    """Which streams another replica goes on with when their own is lost."""

    NEVER = "never"
    REPEATABLE = "repeatable"  # greedy ones, and those with a seed
    ANY = "any"  # sampled ones, too: the rest is another draw


@dataclass(frozen=True, slots=True)
class EffortParameter:
    """How a family's chat template is told how hard to think: ``keyword`` is set to one of ``values``, in rising order."""

    keyword: str
    values: tuple[str, ...]
    default: str | None = None
    """What the template takes when it is told nothing; None where that is the model's own choice."""


@dataclass(frozen=True, slots=True)
class BudgetParameter:
    """How a family's chat template is told how many tokens it may think for: ``keyword`` is set to their number."""

    keyword: str
    off: int | None = 0
    """What it takes for no thinking; None if it cannot be told that."""
    unlimited: int | None = -1
    """What it takes for no limit; None if it is not told then."""


@dataclass(frozen=True, slots=True)
class ThinkingSwitch:
    """The words in which one family's chat template is told to think or not to.

    ``keywords`` are the ``chat_template_kwargs`` that are set, each to ``on`` or ``off``; ``default`` is what the template does
    when it is told nothing. They have a meaning for ``SWITCH`` only.
    """

    mode: ThinkingMode = ThinkingMode.NEVER
    keywords: tuple[str, ...] = ()
    on: Any = True
    off: Any = False
    default: bool | None = None
    effort: EffortParameter | None = None
    budget: BudgetParameter | None = None
    variables: tuple[str, ...] = ()
    """Further variables of the template that have to do with thinking; a request may set them at its top level."""
    start_tag: str = "<think>"
    end_tag: str = "</think>"
    """What the model puts around its thoughts."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model as it was asked for and resolved, under its UID. Durable: the registry keeps it before anything is started."""

    uid: str
    name: str
    """Family name in the catalog, or a name made from the path."""
    path: str
    """What the engine loads: a folder or a hub id."""
    revision: str | None = None
    format: str = "pytorch"
    quantization: str | None = None
    size_in_billions: str | None = None
    context_length: int | None = None
    """Longest prompt plus answer, in tokens, as asked for at launch; None leaves it to the engine."""
    usual_context_length: int | None = None
    """What the family is known for, to show until the engine has said what it settled on."""
    abilities: tuple[Ability, ...] = ("generate",)
    languages: tuple[str, ...] = ()
    description: str = ""
    thinking: ThinkingSwitch = field(default_factory=ThinkingSwitch)
    enable_thinking: bool | None = None
    """The launch option: what a request that says nothing gets. None leaves it to the template."""
    reasoning_output: ReasoningOutput = ReasoningOutput.SPLIT
    """The launch option: where the reasoning of a request goes that says nothing."""
    resume: Resume = Resume.NEVER
    """The launch option: which streams go on at another replica, unless a request says so itself."""
    reasoning_parser: str | None = None
    tool_parser: str | None = None
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    """Where the answers of a chat end besides what the model's own files say, unless a request says where."""
    engine_args: dict[str, Any] = field(default_factory=dict)
    """Further arguments of vLLM's server by their Python names, e.g. ``{"max_num_seqs": 64}``."""
    env: dict[str, str] = field(default_factory=dict)
    replicas: int = 1
    request_limits: int | None = None
    """Requests that each replica may have at once, running and queued; None leaves it to the supervisor's settings."""
    idle_timeout_s: float | None = None
    """Seconds without a request after which it goes to sleep; None keeps it awake."""
    autoscaling: AutoscalingConfig | None = None
    """How ``replicas`` follows the load; None leaves it as it is."""
    kv_cache_gib: float | None = None
    """KV cache of each replica in GiB; None leaves it to the settings (CPU) or to the share of the GPU."""
    gpus: float = 0
    """GPUs each replica takes from Ray on each of its nodes; a fraction shares one, 0 runs on the CPU."""
    workers: int = 1
    """Nodes that share each replica."""
    node: str | None = None
    """The address of the node that its replicas have to be on."""
    node_labels: dict[str, str] = field(default_factory=dict)
    """What the nodes of its replicas have to be labelled with."""
    wait_for_capacity: bool = False
    """Whether its replicas wait for nodes that are not there yet, instead of being refused."""
    pack: bool = False
    """Whether its replicas are to be on few nodes, and not on many."""
    node_groups: tuple[tuple[str, ...], ...] = ()
    """Ray's IDs of the nodes that were best for it at its launch, the best group first; others have to do where these have no
    room, and empty is any."""
    trust_remote_code: bool = False
    chosen_because: str = ""
    """Why this model of the family, and so many GPUs, in sentences; empty where the launch left nothing to choose."""
    engine: Literal["vllm", "fake"] = "vllm"
    """``fake`` is the test double; a cluster takes it only if it was started for tests."""
    declaration: dict[str, Any] | None = None
    """What a file of declared models says of it, as ``xinfer.declared`` has written it; None if it was launched by hand."""
    created_at: float = 0.0
    """Unix time of the launch, in seconds."""

    @property
    def gpus_per_replica(self) -> float:
        """On all of its nodes together."""
        return self.gpus * self.workers
