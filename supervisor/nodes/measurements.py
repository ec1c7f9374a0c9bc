"""What a node has and how busy it is, measured on the node itself."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from pathlib import Path

import psutil
import ray
from ray._common.utils import get_system_memory
from ray._private.utils import get_used_memory

from xinfer import __version__
from xinfer.cluster.fork_server import ForkServerState
from xinfer.gpus import Gpu, gpus
from xinfer.messages import GpuReport, NodeReport
from xinfer.vllm_version import vllm_version

_NO_FORK_SERVER = "off"
_MODEL_FOLDER = "models--"


def measure(node: str, home: Path) -> NodeReport:
    """A report of this machine, whose node's files are in ``home``. Blocks for a moment on its disk and its driver.

    The share of the CPUs that is busy counts from the call before; the first one says 0.
    """
    cache = _hub_cache()
    disk = shutil.disk_usage(_existing(cache))
    # Of the container, where there is one.
    memory = get_system_memory()
    state = ForkServerState.load(home)
    return NodeReport(
        node=node,
        hostname=socket.gethostname(),
        version=__version__,
        python=platform.python_version(),
        ray=ray.__version__,
        vllm=vllm_version(),
        cpu_count=len(os.sched_getaffinity(0)),
        cpu_percent=psutil.cpu_percent(),
        memory_total=memory,
        memory_available=max(0, memory - get_used_memory()),
        disk_total=disk.total,
        disk_free=disk.free,
        fork_server=state.stage if state else _NO_FORK_SERVER,
        gpus=tuple(map(_gpu_report, gpus())),
        cached_models=_cached_models(cache),
    )


def _gpu_report(gpu: Gpu) -> GpuReport:
    return GpuReport(
        index=gpu.index,
        name=gpu.name,
        memory_total=gpu.memory_total_bytes,
        memory_used=gpu.memory_used_bytes,
        utilization=gpu.utilization,
    )


def _hub_cache() -> Path:
    # Takes a while to import.
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def _existing(path: Path) -> Path:
    """``path``, or the nearest folder above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _cached_models(cache: Path) -> tuple[str, ...]:
    names = (folder.name.removeprefix(_MODEL_FOLDER) for folder in cache.glob(f"{_MODEL_FOLDER}*"))
    return tuple(sorted(name.replace("--", "/") for name in names))
