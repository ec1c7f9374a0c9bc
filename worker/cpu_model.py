"""Models without a GPU: what computes them, and what the small ones are computed in.

On x86, PyTorch is quick with 16-bit numbers only where there is AVX-512. Without it, as on AMD's Zen 3 and on Intel's processors
for laptops, a plain loop multiplies matrices of bfloat16: a layer of 256 by 1,024 took 4.1 ms for 64 tokens on a busy Zen 3, and
0.5 ms in float32.
"""

from __future__ import annotations

import os
import platform
import shutil
from functools import cache
from pathlib import Path

from worker.memory.limits import argument, runs_on_cpu
from xinfer.catalog.model_files import read_object
from xinfer.catalog.weights import is_quantized
from xinfer.messages import ModelSpec

IS_COMPILED = "XINFER_MODEL_IS_COMPILED"
"""Variable of an engine whose model has been compiled before: it only loads that."""
_SMALL_BYTES = 2 * 1024**3
"""Of weights, which may be held twice: by the engine that compiles them, and in 32 bits."""
_FOR_16_BITS = {"avx512bw", "avx512vl", "avx512dq"}
"""What oneDNN asks of a processor of this kind, as PyTorch does before it gives it bfloat16."""
_COMPILERS = ("g++", "c++", "clang++")
_CPU_INFO = Path("/proc/cpuinfo")
_CPUS = Path("/sys/devices/system/cpu")


def threads() -> int:
    """OpenMP threads of an engine: one for each physical core but one, as vLLM has it; at least half the logical ones."""
    logical = os.sched_getaffinity(0)
    physical = {_siblings(number) for number in logical}
    return max(1, len(physical) - 1, len(logical) // 2)


def _siblings(number: int) -> str:
    """The logical processors that share a core with this one, as Linux lists them: ``0,8``."""
    try:
        return (_CPUS / f"cpu{number}" / "topology" / "thread_siblings_list").read_text()
    except OSError:
        # Where that is not shown, two are taken to share a core.
        return str(number // 2)


def is_small_on_cpu(spec: ModelSpec) -> bool:
    """Whether ``spec`` has no GPU and at most 2 GiB of weights, which are here."""
    if spec.engine == "fake" or not runs_on_cpu(spec):
        return False
    weights = sum(file.stat().st_size for file in Path(spec.path).glob("*.safetensors"))
    return 0 < weights <= _SMALL_BYTES


def dtype(spec: ModelSpec) -> str | None:
    """vLLM's name of what the model is to be computed in; None leaves it to vLLM, which takes what the checkpoint has."""
    given = argument(spec, "dtype")
    if given is not None:
        return str(given)
    # The nodes of a gang may have different processors.
    if not is_small_on_cpu(spec) or spec.workers > 1 or computes_16_bits():
        return None
    if argument(spec, "quantization") or spec.quantization not in (None, "none") or _may_be_quantized(Path(spec.path)):
        return None
    return "float32"


@cache
def computes_16_bits() -> bool:
    """Whether this machine's processor is quick with 16-bit numbers, or is of a kind of which that is not known."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return True
    return _FOR_16_BITS.issubset(processor_flags())


def compiler() -> Path | None:
    """The C++ compiler that PyTorch takes for models without a GPU; None where there is none."""
    found = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if found is None:
        return None
    return Path(found).resolve()


def processor_flags() -> list[str]:
    """What Linux says that the first processor can do; empty where it has no such line."""
    lines = _CPU_INFO.read_text().splitlines()
    return next((line.split() for line in lines if line.startswith("flags")), [])


def _may_be_quantized(folder: Path) -> bool:
    config = read_object(folder / "config.json")
    return not config or is_quantized(config)
