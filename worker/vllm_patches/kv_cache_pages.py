"""Has an engine without a GPU take the memory of its KV cache while its server starts.

vLLM fills the whole cache with zeros in one thread before its server begins to start: 0.4 to 0.7 s for 1 GiB, most of what the
start of a small model takes. Memory that the kernel has just given out is zero already. It is taken all the same before the
first step, so that an engine that is ready has what was reserved for it. Not in huge pages, which would be a third of the work:
in a virtual machine those are often memory that the host has to find first, and a launch took up to 8 s. For vLLM 0.32.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import mmap
import threading
from collections.abc import Iterator
from typing import Any

_VERSIONS = ("0.32.",)
_MADV_POPULATE_WRITE = 23
# The kernel holds off other changes of the process's memory for as long as one call takes.
_AT_ONCE_BYTES = 8 * 1024 * 1024


def take_kv_cache_meanwhile() -> None:
    """Change how vLLM allocates the KV cache on a CPU, in this process and those it forks."""
    import vllm
    from vllm.platforms import current_platform

    if not current_platform.is_cpu() or not vllm.__version__.startswith(_VERSIONS):
        return
    runner: Any = importlib.import_module("vllm.v1.worker.gpu_model_runner")
    worker: Any = importlib.import_module("vllm.v1.worker.cpu_worker").CPUWorker
    allocate = runner.allocate_kv_cache
    execute = worker.execute_model

    @functools.wraps(allocate)
    def allocate_and_take(*args: Any, **kwargs: Any) -> Any:
        with zeros_of_fresh_pages() as takers:
            caches = allocate(*args, **kwargs)

        @functools.wraps(execute)
        def execute_when_taken(*args: Any, **kwargs: Any) -> Any:
            for taker in takers:
                taker.join()
            worker.execute_model = execute
            return execute(*args, **kwargs)

        worker.execute_model = execute_when_taken
        return caches

    runner.allocate_kv_cache = allocate_and_take


@contextlib.contextmanager
def zeros_of_fresh_pages() -> Iterator[list[threading.Thread]]:
    """Have ``torch.zeros`` give memory that is fresh from the kernel; yields the threads that take it."""
    import torch

    zeros = torch.zeros
    takers: list[threading.Thread] = []

    def fresh(size: int, *, dtype: torch.dtype, device: Any) -> torch.Tensor:  # noqa: ARG001  # it is the CPU
        memory = mmap.mmap(-1, size * dtype.itemsize, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        tensor = torch.frombuffer(memory, dtype=dtype)
        takers.append(threading.Thread(target=_take, args=(tensor.data_ptr(), len(memory)), daemon=True))
        takers[-1].start()
        return tensor

    torch.zeros = fresh
    try:
        yield takers
    finally:
        torch.zeros = zeros


def _take(address: int, size: int) -> None:
    """Have the kernel find pages for all of it; an old one, before 5.14, does so when they are first written to."""
    madvise = ctypes.CDLL(None).madvise
    for start in range(0, size, _AT_ONCE_BYTES):
        part = min(_AT_ONCE_BYTES, size - start)
        madvise(ctypes.c_void_p(address + start), ctypes.c_size_t(part), _MADV_POPULATE_WRITE)
