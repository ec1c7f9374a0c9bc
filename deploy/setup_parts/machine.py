"""What this machine has: which engine fits it, and whether there is room."""

from __future__ import annotations

import ctypes
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Callable

from .errors import SetupFailed

ROOM_GB = {"cpu": 6, "cuda": 20}
"""Disk needed while installing; what stays is about two thirds of it."""


def nvidia_smi() -> str:
    """The GPUs that NVIDIA's tool lists; empty where there is no tool or it finds none."""
    try:
        done = subprocess.run(
            ["nvidia-smi", "-L"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def has_nvidia_gpu(proc: Path = Path("/proc"), list_gpus: Callable[[], str] = nvidia_smi) -> bool:
    """Whether the NVIDIA driver has a GPU. The driver's folder is asked first because the tool is slow."""
    folder = proc / "driver" / "nvidia" / "gpus"
    if folder.is_dir() and any(folder.iterdir()):
        return True
    return "GPU " in list_gpus()


def choose_flavor(wish: str) -> str:
    """`cpu` or `cuda`: as wished, or by what the machine has for `auto`."""
    if wish != "auto":
        return wish
    return "cuda" if has_nvidia_gpu() else "cpu"


def check_machine() -> None:
    """Raises SetupFailed where no engine can run."""
    if platform.system() != "Linux":
        raise SetupFailed(f"xinfer needs Linux (this is {platform.system()}); on Windows use WSL 2.")
    if platform.machine() not in ("x86_64", "aarch64"):
        raise SetupFailed(f"vLLM has builds for x86_64 and aarch64, and this is {platform.machine()}.")
    name, version = platform.libc_ver()
    if name != "glibc" or tuple(int(part) for part in version.split(".")[:2]) < (2, 28):
        raise SetupFailed("vLLM's builds need glibc 2.28 or newer (Debian 10, Ubuntu 20.04, RHEL 8); Alpine has none.")


def check_libraries(flavor: str, load: Callable[[str], object] = ctypes.CDLL) -> None:
    """Raises SetupFailed where the system lacks what vLLM's build for CPUs loads: its engines would not start."""
    if flavor != "cpu":
        return
    try:
        load("libnuma.so.1")
    except OSError:
        raise SetupFailed(
            "vLLM's build for CPUs needs libnuma.so.1: `apt-get install libnuma1`, or `dnf install numactl-libs`."
        ) from None


def check_room(folder: Path, flavor: str) -> None:
    """Raises SetupFailed where the disk is too small for what is to be installed."""
    free_gb = shutil.disk_usage(str(folder)).free / 1e9
    if free_gb < ROOM_GB[flavor]:
        raise SetupFailed(f"{folder} has {free_gb:.1f} GB free, and the set-up needs {ROOM_GB[flavor]} GB for a while.")
