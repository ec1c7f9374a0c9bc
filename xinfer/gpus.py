"""This machine's NVIDIA GPUs, as its driver counts them, by NVML (``nvidia-ml-py``)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU. A GPU whose memory is the machine's own, or that is split, may not report all of it: None."""

    index: int
    uuid: str
    name: str
    memory_total_bytes: int | None
    memory_free_bytes: int | None
    memory_used_bytes: int | None
    """By anybody's processes, without what the driver reserves for itself."""
    utilization: int | None
    """Percent of the time in which anything ran on it, over the driver's last period."""
    compute_capability: str | None

    @property
    def memory_total_mib(self) -> int | None:
        return _mib(self.memory_total_bytes)

    @property
    def memory_used_mib(self) -> int | None:
        return _mib(self.memory_used_bytes)


def gpus() -> list[Gpu]:
    """Every GPU of this machine, by index; empty without a driver, or where it fails."""
    with _nvml() as nvml:
        if nvml is None:
            return []
        try:
            count = nvml.nvmlDeviceGetCount()
            return [_gpu(nvml, index) for index in range(count)]
        except nvml.NVMLError:
            return []


def watch(period_s: float) -> Iterator[list[Gpu]]:
    """``gpus()`` every ``period_s`` seconds, without an end; ends at once where there is none."""
    # NVML stays initialized between readings: a driver that nobody uses takes seconds to wake.
    with _nvml():
        while found := gpus():
            yield found
            time.sleep(period_s)


def driver_version() -> str | None:
    """The driver's own version; None without one."""
    with _nvml() as nvml:
        if nvml is None:
            return None
        version = _reported(nvml, nvml.nvmlSystemGetDriverVersion)
        return None if version is None else _text(version)


def driver_cuda_version() -> str | None:
    """The newest CUDA that the driver runs, as ``13.0``; None without a driver."""
    with _nvml() as nvml:
        if nvml is None:
            return None
        number = _reported(nvml, nvml.nvmlSystemGetCudaDriverVersion)
        if not number:
            return None
        # NVML counts as CUDA does: 13000 is 13.0, 12040 is 12.4.
        return f"{number // 1000}.{number % 1000 // 10}"


def compute_processes() -> dict[int, set[str]]:
    """The UUIDs of the GPUs that each process computes on, by its id."""
    found: dict[int, set[str]] = {}
    with _nvml() as nvml:
        if nvml is None:
            return found
        for index in range(nvml.nvmlDeviceGetCount()):
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            uuid = _text(nvml.nvmlDeviceGetUUID(handle))
            for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle):
                found.setdefault(process.pid, set()).add(uuid)
    return found


@contextmanager
def _nvml() -> Iterator[Any]:
    """NVML, initialized; None where its library or the driver is missing. NVML counts who has initialized it."""
    # At first use: most processes that import this module have no GPU to ask for.
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def _gpu(nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    # The second version keeps the driver's reserve apart from what is used, as nvidia-smi does.
    memory = _reported(nvml, nvml.nvmlDeviceGetMemoryInfo, handle, nvml.nvmlMemory_v2)
    if memory is None:
        memory = _reported(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
    rates = _reported(nvml, nvml.nvmlDeviceGetUtilizationRates, handle)
    capability = _reported(nvml, nvml.nvmlDeviceGetCudaComputeCapability, handle)
    return Gpu(
        index=index,
        uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
        name=_text(nvml.nvmlDeviceGetName(handle)),
        memory_total_bytes=None if memory is None else int(memory.total),
        memory_free_bytes=None if memory is None else int(memory.free),
        memory_used_bytes=None if memory is None else int(memory.used),
        utilization=None if rates is None else int(rates.gpu),
        compute_capability=None if capability is None else "{}.{}".format(*capability),
    )


def _mib(size_bytes: int | None) -> int | None:
    if size_bytes is None:
        return None
    return size_bytes // _MIB


def _reported(nvml: Any, query: Callable[..., Any], *arguments: Any) -> Any:
    """The answer to one query; None where the GPU does not support it."""
    try:
        return query(*arguments)
    except nvml.NVMLError:
        return None


def _text(value: str | bytes) -> str:
    # Bytes in older versions of the package.
    return value.decode() if isinstance(value, bytes) else value
