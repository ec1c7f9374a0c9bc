"""What bounds an engine's memory: read from a launch and the settings once, for the command line
and for the check before it.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.vllm_build import is_cpu_build
from xinfer import engine_args
from xinfer.errors import LaunchRefused
from xinfer.messages import ModelSpec
from xinfer.settings import EngineSettings

VLLM_CPU_KV_CACHE = "VLLM_CPU_KVCACHE_SPACE"
"""vLLM's own variable.

It takes whole GiB only and would win over the argument in bytes, so engines are not shown it.
"""
_GIB = 1024**3
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)([kKmMgGtT]?)")
_FACTORS = {
    "": 1,
    **{letter: 1000**power for power, letter in enumerate("kmgt", 1)},
    **{letter: 1024**power for power, letter in enumerate("KMGT", 1)},
}


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """Limits of an engine's memory, from the launch and the settings."""

    kv_cache_bytes: int | None
    """KV cache on each GPU, or of an engine without one. None: what the share leaves."""
    gpu_share: float | None
    """Of each GPU's memory, all the engine's memory in it; None without a GPU."""


def memory_limits(spec: ModelSpec, settings: EngineSettings) -> MemoryLimits:
    """What the launch asks for, else what the operator has set; ``LaunchRefused`` for a number
    that is none.
    """
    return MemoryLimits(_kv_cache_bytes(spec, settings), _gpu_share(spec, settings))


def runs_on_cpu(spec: ModelSpec) -> bool:
    """Whether its engine takes its memory from the machine: no GPU was asked for, or the vLLM
    here knows none.
    """
    return spec.gpus <= 0 or is_cpu_build()


def argument(spec: ModelSpec, name: str, default: Any = None) -> Any:
    """An engine argument of the launch, also where only the beginning of its name is given, as vLLM allows."""
    return engine_args.argument(spec.engine_args, name, default)


def whole_number(value: object) -> int | None:
    """A number as vLLM's arguments take it, such as 8192, ``"8K"`` or ``"1.5g"``; None for what
    is none.
    """
    match = _NUMBER.fullmatch(str(value).strip())
    if match:
        return int(float(match[1]) * _FACTORS[match[2]])
    return None


def _kv_cache_bytes(spec: ModelSpec, settings: EngineSettings) -> int | None:
    asked = argument(spec, "kv_cache_memory_bytes")
    if asked is not None:
        return whole_number(asked)
    if spec.kv_cache_gib is not None:
        return int(spec.kv_cache_gib * _GIB)
    if not runs_on_cpu(spec):
        return None
    return int(_variable(spec.env, settings.extra_env, os.environ) or settings.cpu_kv_cache_gib * _GIB)


def _variable(*environments: Mapping[str, str]) -> float:
    """vLLM's variable in bytes, from the first environment that sets it; 0 if none does."""
    values = [each.get(VLLM_CPU_KV_CACHE) for each in environments]
    # An empty value counts as unset.
    text = next(filter(None, values), None)
    if text is None:
        return 0.0
    size = _positive(text)
    if size is None:
        raise LaunchRefused(f"{VLLM_CPU_KV_CACHE}={text!r}: expected a number of GiB above 0.")
    return size * _GIB


def _gpu_share(spec: ModelSpec, settings: EngineSettings) -> float | None:
    if runs_on_cpu(spec):
        return None
    asked = argument(spec, "gpu_memory_utilization")
    share: float | None
    if asked is None:
        share = round(min(1.0, spec.gpus) * settings.gpu_memory_share, 3)
    else:
        share = _positive(asked)
    if share is None or share > 1:
        message = f"gpu_memory_utilization={asked!r}: expected a share, above 0 and at most 1."
        raise LaunchRefused(message, param="gpu_memory_utilization")
    return share


def _positive(value: Any) -> float | None:
    """None for what is no number, or none above 0."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if 0 < number < math.inf:
        return number
    return None
