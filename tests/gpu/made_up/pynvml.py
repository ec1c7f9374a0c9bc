"""Stands in for NVML where there is no GPU, so that a turn can be rehearsed.

One made-up GPU. The processes on it are engines, its used memory is what those have for themselves of the machine's, and it is
busy as far as they keep one core busy: numbers that move as a GPU's would, and are no GPU's.
"""

import contextlib
import time
from types import SimpleNamespace

import psutil

_MIB = 1024**2
_UUID = "GPU-00000000-0000-0000-0000-000000000000"
_ENGINE = ("VLLM::EngineCore", "VLLM::Worker", "worker.engine_server", "vllm.entrypoints")
_REHEARSAL = "XINFER_GPU_REHEARSAL"
_TOTAL_MIB = 24576
nvmlMemory_v2 = 2


class NVMLError(Exception):
    """None of the calls below fails."""


def engines():
    """Processes of this rehearsal's engines; the warm host is none."""
    for process in psutil.process_iter(["cmdline", "environ"]):
        title = " ".join(process.info["cmdline"] or ())
        if any(name in title for name in _ENGINE) and _REHEARSAL in (process.info["environ"] or ()):
            yield process


def used_mib():
    total = 0
    for process in engines():
        with contextlib.suppress(psutil.Error):
            total += process.memory_full_info().uss
    return total // _MIB


def busy():
    """Of one core, in a tenth of a second."""
    found = list(engines())
    try:
        for process in found:
            process.cpu_percent()
        time.sleep(0.1)
        return round(min(100.0, sum(process.cpu_percent() for process in found)))
    except psutil.Error:
        return 0


def nvmlInit():
    pass


def nvmlShutdown():
    pass


def nvmlSystemGetDriverVersion():
    return "none"


def nvmlSystemGetCudaDriverVersion():
    return 13000


def nvmlDeviceGetCount():
    return 1


def nvmlDeviceGetHandleByIndex(index):
    return index


def nvmlDeviceGetUUID(_):
    return _UUID


def nvmlDeviceGetName(_):
    return "made up for a rehearsal"


def nvmlDeviceGetMemoryInfo(_, version=None):
    used = used_mib()
    return SimpleNamespace(total=_TOTAL_MIB * _MIB, used=used * _MIB, free=(_TOTAL_MIB - used) * _MIB)


def nvmlDeviceGetUtilizationRates(_):
    return SimpleNamespace(gpu=busy())


def nvmlDeviceGetCudaComputeCapability(_):
    return 9, 0


def nvmlDeviceGetComputeRunningProcesses(_):
    return [SimpleNamespace(pid=process.pid) for process in engines()]
