"""Has an engine without a GPU take the memory of its KV cache while its server starts and its model is loaded.

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
import os
import threading
from collections.abc import Iterator
from typing import Any

_VERSIONS = ("0.32.",)
_MADV_DONTNEED = 4
_MADV_POPULATE_WRITE = 23
# The kernel holds off other changes of the process's memory for as long as one call takes.
_AT_ONCE_BYTES = 8 * 1024 * 1024
_NICENESS = 10
"""Of the thread that takes memory: the loading of the model takes precedence."""


class FreshMemory:
    """``size`` bytes of zeros from the kernel, of which a thread takes the pages."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._used = 0
        self._memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def tensor(self, size: int, dtype: Any) -> Any:
        """A tensor of so many numbers, which begins where the memory does."""
        import torch

        self._used = size * dtype.itemsize
        return torch.frombuffer(self._memory, dtype=dtype, count=size)

    def wait(self) -> None:
        """Return when all of it has been taken, and what was not used is given back."""
        self._thread.join()
        page = mmap.PAGESIZE
        self._advise(_MADV_DONTNEED, -(-self._used // page) * page, self.size)

    def _take(self) -> None:
        """Have the kernel find pages for all of it; an old one, before 5.14, does so when they are first written to."""
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        for start in range(0, self.size, _AT_ONCE_BYTES):
            self._advise(_MADV_POPULATE_WRITE, start, min(start + _AT_ONCE_BYTES, self.size))

    def _advise(self, advice: int, start: int, end: int) -> None:
        if start < end:
            address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
            ctypes.CDLL(None).madvise(ctypes.c_void_p(address + start), ctypes.c_size_t(end - start), advice)


def take_kv_cache_meanwhile() -> None:
    """Change how vLLM allocates the KV cache on a CPU, in this process and those it forks."""
    import vllm
    from vllm.platforms import current_platform

    if not current_platform.is_cpu() or not vllm.__version__.startswith(_VERSIONS):
        return
    runner: Any = importlib.import_module("vllm.v1.worker.gpu_model_runner")
    worker: Any = importlib.import_module("vllm.v1.worker.cpu_worker").CPUWorker
    allocate = runner.allocate_kv_cache
    init = worker.init_device
    execute = worker.execute_model
    taken: list[FreshMemory] = []

    @functools.wraps(init)
    def begin_and_init(self: Any) -> Any:
        size = self.cache_config.kv_cache_memory_bytes
        if size:
            taken.append(FreshMemory(size))
        return init(self)

    @functools.wraps(allocate)
    def allocate_what_is_taken(*args: Any, **kwargs: Any) -> Any:
        with zeros_from(taken):
            caches = allocate(*args, **kwargs)

        @functools.wraps(execute)
        def execute_when_taken(*args: Any, **kwargs: Any) -> Any:
            for memory in taken:
                memory.wait()
            worker.execute_model = execute
            return execute(*args, **kwargs)

        worker.execute_model = execute_when_taken
        return caches

    worker.init_device = begin_and_init
    runner.allocate_kv_cache = allocate_what_is_taken


@contextlib.contextmanager
def zeros_from(taken: list[FreshMemory]) -> Iterator[None]:
    """Have ``torch.zeros`` give the memory in ``taken``, or where that is too small, more that is added to it."""
    import torch

    zeros = torch.zeros
    left = list(taken)

    def fresh(size: int, *, dtype: torch.dtype, device: Any) -> torch.Tensor:  # noqa: ARG001  # it is the CPU
        wanted = size * dtype.itemsize
        fitting = next((memory for memory in left if memory.size >= wanted), None)
        if fitting is None:
            fitting = FreshMemory(wanted)
            taken.append(fitting)
        else:
            left.remove(fitting)
        tensor: torch.Tensor = fitting.tensor(size, dtype)
        return tensor

    torch.zeros = fresh
    try:
        yield
    finally:
        torch.zeros = zeros
