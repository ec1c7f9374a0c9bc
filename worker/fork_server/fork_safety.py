"""What a process has become by importing the engine: which variables it has read, and whether it may still be forked."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_NATIVE = (
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "GOTO_", "PYTORCH_", "JE_"),
    *("LD_", "MALLOC_", "TCMALLOC_", "GLIBC_", "PYTHON", "LC_", "LANG", "TZ"),
)
"""Beginnings of names that libraries read below Python, when they are loaded."""
_READ_AGAIN = ("RAY_", "XINFER_")
"""Read at import as well, but by nothing that an engine of ours depends on."""
_OF_A_SHELL = frozenset({"PWD", "OLDPWD", "SHLVL", "_", "LNAME"})
_LATE = frozenset(
    {"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "TMPDIR"}
)
"""Looked at during import, but binding only later: when a device is first used, which the host never does, and when a temporary
file is made, which a child begins anew with."""


@dataclass(frozen=True, slots=True)
class Warmth:
    """A process's environment when it imported the engine, and what the imports did with it."""

    env: Mapping[str, str]
    read: frozenset[str]
    """Variables that were asked for during the imports."""
    added: Mapping[str, str]
    """Variables that the imports set themselves."""

    def objection(self, env: Mapping[str, str]) -> str | None:
        """Why an engine with this environment cannot come from here: it would have to have been set before the imports."""
        differing = (name for name in self.env.keys() | env.keys() if self.env.get(name) != env.get(name))
        fixed = sorted(name for name in differing if self._is_fixed(name))
        if fixed:
            return f"{', '.join(fixed)} must be set before the engine is imported"
        return None

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """``env``, with what the imports would have added to it."""
        return {**self.added, **env}

    def _is_fixed(self, name: str) -> bool:
        if name in _LATE or name in _OF_A_SHELL or name.startswith(_READ_AGAIN):
            return False
        return name in self.read or name.startswith(_NATIVE)


def warm_up(import_all: Callable[[], None]) -> Warmth:
    """Have everything imported and note what that does with the environment. Raises what an import raises."""
    before = dict(os.environ)
    with _noting_reads() as read:
        import_all()
    added = {name: value for name, value in os.environ.items() if name not in before}
    return Warmth(before, frozenset(read), added)


@contextmanager
def _noting_reads() -> Iterator[set[str]]:
    """The names of variables that are asked for meanwhile; ``os.getenv``, ``.get`` and ``in`` all come down to one method."""
    read: set[str] = set()
    environ = type(os.environ)
    plain = environ.__getitem__

    def noting(self: os._Environ[str], name: str) -> str:
        if isinstance(name, str):
            read.add(name)
        return plain(self, name)

    environ.__getitem__ = noting  # type: ignore[method-assign]
    try:
        yield read
    finally:
        environ.__getitem__ = plain  # type: ignore[method-assign]


def unfit_to_fork() -> str | None:
    """Why this process must not be forked now: other threads, or a CUDA context, would be broken in the child."""
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1 or threading.active_count() != 1:
        return f"the warm host has {threads} threads"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return "the warm host has a CUDA context"
    if _uses_cuda_driver() or _holds_gpu_memory():
        return "the warm host holds a GPU open"
    return None


def _uses_cuda_driver() -> bool:
    """Whether something below torch has initialized CUDA's driver: it does not count GPUs before that (``CUresult``)."""
    try:
        driver = ctypes.CDLL("libcuda.so.1", mode=os.RTLD_NOLOAD)
    except OSError:
        # Nobody has even loaded it.
        return False
    return bool(driver.cuDeviceGetCount(ctypes.byref(ctypes.c_int())) == 0)


def _holds_gpu_memory() -> bool:
    """The same by the device that it opens, which counting GPUs with NVML does not."""
    return any(_target(link).startswith("/dev/nvidia-uvm") for link in Path("/proc/self/fd").iterdir())


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""
