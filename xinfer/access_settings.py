"""Settings of keys and of what their holders may do."""

from __future__ import annotations

import os
from dataclasses import dataclass

_USAGE_DAYS = "XINFER_USAGE_DAYS"

LAUNCH_VARIABLES = (
    "HF_HUB_OFFLINE",
    "OMP_NUM_THREADS",
    "VLLM_ATTENTION_BACKEND",
    "VLLM_CPU_KVCACHE_SPACE",
    "VLLM_CPU_OMP_THREADS_BIND",
)
"""Environment variables that a launch may set with any key that may launch."""


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """What a supervisor is told when keys are required."""

    supervisors: int = 1
    """Supervisors that share the limits of each key."""
    model_dirs: tuple[str, ...] = ()
    """Folders whose models may be launched with a key of the scope launch."""
    launch_variables: tuple[str, ...] = LAUNCH_VARIABLES


def usage_days() -> int:
    """For how many days the hours of usage are kept: ``XINFER_USAGE_DAYS``, or 400. ``ValueError`` for a wrong value."""
    text = os.environ.get(_USAGE_DAYS) or "400"
    if not text.isdigit() or int(text) < 32:
        raise ValueError(
            f"{_USAGE_DAYS}={text!r}: expected a whole number of days, 32 at least, as budgets need a month"
        )
    return int(text)
