"""What every load of a compiled model asks of this machine: found out once, and kept for the fork servers to come.

Which vector instructions the processor has is tried with a subprocess for each, and versions are hashes of all files of a
package: 2.4 s on two cores. PyTorch keeps the results in the process, and engines are forked from this one.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
from pathlib import Path

import msgspec

from worker.cpu_model import compiler, processor_flags
from worker.vllm_build import cache_root


class Findings(msgspec.Struct):
    """What PyTorch has found out."""

    torch_key: bytes
    triton_key: str | None
    vector_instructions: tuple[str, ...]
    """Those that it can compile for and load, by its names."""


def recall() -> bool:
    """Take what an earlier process has found out; False if none has, or if packages, compiler or processor are others."""
    from torch._inductor import codecache, cpu_vec_isa

    # Not every version of PyTorch can be told its keys.
    file = _file() if hasattr(codecache.torch_key, "set") else None
    if file is None:
        return False
    try:
        kept = msgspec.json.decode(file.read_bytes(), type=Findings)
    except (OSError, msgspec.MsgspecError):
        return False
    codecache.torch_key.set(kept.torch_key)
    codecache.triton_key.set(kept.triton_key)
    trial = cpu_vec_isa.VecISA.check_build
    cpu_vec_isa.VecISA.check_build = lambda isa, _code: str(isa) in kept.vector_instructions
    try:
        cpu_vec_isa.valid_vec_isa_list()
    finally:
        cpu_vec_isa.VecISA.check_build = trial
    codecache.CacheBase.get_system()
    return True


def learn() -> None:
    """Find it out, and keep it."""
    from torch._inductor import codecache, cpu_vec_isa

    instructions = tuple(str(each) for each in cpu_vec_isa.valid_vec_isa_list())
    codecache.CacheBase.get_system()
    found = Findings(codecache.torch_key(), codecache.triton_key(), instructions)
    file = _file()
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(f".{os.getpid()}")
        draft.write_bytes(msgspec.json.encode(found))
        draft.replace(file)


def _file() -> Path | None:
    """Where it is kept for what is installed here; None if that cannot be told."""
    identity = hashlib.sha256()
    for package in ("torch", "triton"):
        try:
            # It has a hash of each of the package's files.
            record = importlib.metadata.distribution(package).read_text("RECORD")
        except importlib.metadata.PackageNotFoundError:
            continue
        if record is None:
            return None
        identity.update(record.encode())
    found = compiler()
    version = None if found is None else (str(found), found.stat().st_mtime_ns)
    identity.update(msgspec.json.encode((version, processor_flags())))
    return cache_root() / "xinfer" / f"compilers-{identity.hexdigest()[:32]}.json"
