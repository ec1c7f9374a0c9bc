"""Whether a process that has imported vLLM can be forked for an engine.

That depends on the environment variables that the imports have read, and on the process itself:
threads and CUDA contexts do not survive a fork.
"""

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
"""Prefixes of variables that native libraries read when they are loaded, unseen by Python."""
_READ_AGAIN = ("RAY_", "XINFER_")
"""Prefixes of variables that are read at import, but by nothing that an engine depends on."""
_OF_A_SHELL = frozenset({"PWD", "OLDPWD", "SHLVL", "_", "LNAME"})
_LATE = frozenset(
    {
        "CUDA_VISIBLE_DEVICES",
        "CUDA_DEVICE_ORDER",
        "HIP_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES",
        "TMPDIR",
    }
)
"""Variables that are read during import but bind later.

Those of devices bind when a device is first used, which the fork server never does; ``TMPDIR``
when a temporary file is made, and a child forgets the folder that was found.
"""


@dataclass(frozen=True, slots=True)
class ImportSnapshot:
    """The environment in which a process has imported vLLM, and what the imports did with it."""

    env: Mapping[str, str]
    """The environment before the imports."""
    read: frozenset[str]
    """Names of the variables that were read during the imports, set or not."""
    added: Mapping[str, str]
    """Variables that the imports have set."""

    def objection(self, env: Mapping[str, str]) -> str | None:
        """Why an engine with the environment ``env`` cannot be forked from here; None if it can."""
        names = sorted(self.env.keys() | env.keys())
        differing = [name for name in names if self.env.get(name) != env.get(name)]
        fixed = list(filter(self._is_fixed, differing))
        if fixed:
            return f"{', '.join(fixed)} must be set before the engine is imported"
        return None

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """``env``, with what the imports would have added to it."""
        return {**self.added, **env}

    def _is_fixed(self, name: str) -> bool:
        """True if the imports have taken over the variable's value for good."""
        if name in _LATE or name in _OF_A_SHELL or name.startswith(_READ_AGAIN):
            return False
        return name in self.read or name.startswith(_NATIVE)


def snapshot_imports(import_all: Callable[[], None]) -> ImportSnapshot:
    """Call ``import_all`` and record its use of the environment. Raises what it raises."""
    before = dict(os.environ)
    with _recording_reads() as read:
        import_all()

    added = {name: value for name, value in os.environ.items() if name not in before}
    return ImportSnapshot(before, frozenset(read), added)


@contextmanager
def _recording_reads() -> Iterator[set[str]]:
    """Names of the environment variables that are read within the block."""
    read: set[str] = set()
    # ``os.getenv``, ``.get`` and ``in`` all come down to this method. A special method is looked up
    # on the class, so it has to be replaced there.
    environ = type(os.environ)
    plain = environ.__getitem__

    def recording(self: os._Environ[str], name: str) -> str:
        if isinstance(name, str):
            read.add(name)
        return plain(self, name)

    environ.__getitem__ = recording  # type: ignore[method-assign]
    try:
        yield read
    finally:
        environ.__getitem__ = plain  # type: ignore[method-assign]


def unfit_to_fork() -> str | None:
    """Why this process must not be forked now; None if it may.

    Other threads do not exist in the child, so their locks stay held for ever; a CUDA context is
    unusable there.
    """
    # The kernel also counts the threads that native libraries have started.
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1 or threading.active_count() != 1:
        return f"the fork server has {threads} threads"

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return "the fork server has a CUDA context"

    if _uses_cuda_driver() or _holds_gpu_memory():
        return "the fork server holds a GPU open"
    return None


def _uses_cuda_driver() -> bool:
    """True if a library below torch has initialized CUDA's driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1", mode=os.RTLD_NOLOAD)
    except OSError:
        # The driver is not even loaded.
        return False

    # The driver does not count GPUs before it is initialized: CUDA_ERROR_NOT_INITIALIZED is 3.
    status = driver.cuDeviceGetCount(ctypes.byref(ctypes.c_int()))
    return bool(status == 0)


def _holds_gpu_memory() -> bool:
    """True if this process has opened the device of CUDA's memory; NVML does not open it."""
    descriptors = Path("/proc/self/fd").iterdir()
    return any(_target(link).startswith("/dev/nvidia-uvm") for link in descriptors)


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        # The descriptor was closed meanwhile, as that of the listing itself is.
        return ""
