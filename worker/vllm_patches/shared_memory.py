"""Has Python's resource tracker know of the shared memory that vLLM's tensor parallelism on CPUs makes in C++.

vLLM never removes it: two files per engine stayed in ``/dev/shm``, however the engine ended.
"""

from __future__ import annotations

import functools
from multiprocessing import resource_tracker
from typing import Any


def track_shared_memory_of_cpus() -> None:
    """Register each worker's file, so that it is removed when the engine's last process has ended (``track_resources_apart``)."""
    try:
        from vllm.distributed.device_communicators.cpu_communicator import _CPUSHMDistributed
    except ImportError:  # vLLM before 0.30 names it otherwise; without tensor parallelism nothing is missing
        return
    make_name = _CPUSHMDistributed.make_group_name

    @functools.wraps(make_name)
    def make_and_register(communicator: Any) -> str:
        # The tracker's own protocol separates fields by colons.
        name: str = make_name(communicator).replace(":", "-")
        # What ``init_shm_manager`` passes to shm_open(3).
        resource_tracker.register(f"/{name}_{communicator.rank}", "shared_memory")
        return name

    _CPUSHMDistributed.make_group_name = staticmethod(make_and_register)
