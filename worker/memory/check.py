"""Pre-flight memory check: refuses an engine that does not fit into this node's memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from worker import cpu_model
from worker.command import engine_env, quantization
from worker.download.cache import Snapshot, cache_folder, cached_commit
from worker.memory.limits import argument, memory_limits, runs_on_cpu, whole_number
from worker.memory.node_memory import Memory, memories
from worker.memory.requirement import MemoryRequirement
from worker.memory.reservations import Ledger, Reservations
from xinfer.catalog.kv_cache import kv_cache_of
from xinfer.catalog.memory import CPU_OVERHEAD_BYTES, GIB, GPU_OVERHEAD_BYTES, context_length_of, estimate
from xinfer.catalog.model_files import read_object
from xinfer.catalog.weights import loaded_bytes, weights_in
from xinfer.errors import LaunchRefused
from xinfer.messages import ModelSpec
from xinfer.parallel import parallel_of
from xinfer.settings import EngineSettings

_PATIENCE_S = 10.0
"""How long memory may take to come back from an engine that has just ended."""
_POLL_PERIOD_S = 0.5


def check_memory(
    spec: ModelSpec,
    settings: EngineSettings,
    gpus: Sequence[str] = (),
    *,
    ledger: Ledger | None = None,
    owner: str = "",
    look: Callable[[Sequence[str]], Sequence[Memory] | None] = memories,
    patience_s: float = _PATIENCE_S,
) -> None:
    """Return if ``spec`` fits on this node beside what runs there and what starts there, or if
    nothing that is known speaks against it. What it needs is then reserved in ``ledger`` for
    ``owner``, who has to release it.

    Raises ``LaunchRefused`` with all numbers otherwise; only after ``patience_s`` if what lacks
    may yet be given back, and not while others that are starting hold it, up to the time that
    a start may take. ``gpus`` are those that Ray gave the replica. Blocks: call it in a thread,
    when the model's files are here.
    """
    requirement = memory_requirement(spec, settings) if spec.engine == "vllm" else None
    if requirement is None or not (gpus or runs_on_cpu(spec)):
        return
    seen = () if runs_on_cpu(spec) else gpus
    margin_bytes = int(settings.memory_margin_gib * GIB)
    began = time.monotonic()
    deadline = began + patience_s
    while True:
        with ledger.turn() if ledger else nullcontext(Reservations()) as reservations:
            found = look(seen)
            if not found:
                return
            refusal = requirement.refusal(reservations.left(found, seen, owner), margin_bytes)
            if refusal is None:
                if ledger:
                    ledger.reserve(reservations, owner, requirement.takes_bytes(found), seen)
                return
            held = reservations.others(seen, owner)
        now = time.monotonic()
        others_start = held and now < began + settings.start_timeout_s
        if others_start:
            deadline = now + patience_s
        if refusal.is_final or (now >= deadline and not others_start):
            raise LaunchRefused(refusal.message)
        # An engine that has just ended may not have given back its memory yet.
        time.sleep(_POLL_PERIOD_S)


def memory_requirement(spec: ModelSpec, settings: EngineSettings) -> MemoryRequirement | None:
    """What ``spec`` needs, by the model's own files; None if they are not here or do not tell
    what will be loaded.
    """
    config_folder, weights_folder = _folders(spec, settings)
    config = read_object(config_folder / "config.json")
    tokenizer_config = read_object(config_folder / "tokenizer_config.json")
    stored = weights_in(weights_folder)
    if not config or stored is None or any(name.startswith("hf_overrides") for name in spec.engine_args):
        return None
    dtype = cpu_model.dtype(spec) or "auto"
    kv_dtype = str(argument(spec, "kv_cache_dtype", "auto"))
    tokens = _tokens(spec, config, tokenizer_config)
    parallel = parallel_of(spec, can_pipeline=not runs_on_cpu(spec))
    limits = memory_limits(spec, settings)
    by_the_way = argument(spec, "quantization", quantization(spec))
    weights = loaded_bytes(stored, config, dtype=dtype, quantization=str(by_the_way) if by_the_way else None)
    on_cpu = runs_on_cpu(spec)
    needed = estimate(
        config,
        weights if on_cpu else max(0, weights - parallel.gpus * _offloaded_bytes(spec)),
        tokens=tokens,
        parallel=parallel,
        kv_dtype=kv_dtype,
        dtype=dtype,
        overhead_bytes=CPU_OVERHEAD_BYTES if on_cpu else GPU_OVERHEAD_BYTES,
    )
    cache = kv_cache_of(config, kv_dtype=kv_dtype, dtype=dtype)
    longest = cache.longest(limits.kv_cache_bytes or 0, at_most=tokens, parallel=parallel)
    return MemoryRequirement(needed, limits, parallel.gpus // spec.workers, longest)


def _folders(spec: ModelSpec, settings: EngineSettings) -> tuple[Path, Path]:
    """Where the model's small files and its weights are, or would be if they were here."""
    folder = Path(spec.path).expanduser()
    if folder.is_dir():
        return folder, folder
    cache = cache_folder(engine_env(spec, settings))
    commit = cached_commit(cache, spec.path, spec.revision) or "none"
    other = argument(spec, "download_dir")
    caches = cache, Path(str(other)).expanduser() if other else cache
    config, weights = (Snapshot(each, spec.path, commit).file("config.json").parent for each in caches)
    return config, weights


def _tokens(spec: ModelSpec, config: Mapping[str, Any], tokenizer_config: Mapping[str, Any]) -> int:
    """The context length that vLLM will have; 1 if it is to take what fits."""
    asked = argument(spec, "max_model_len", spec.context_length)
    if asked is None:
        return context_length_of(config, tokenizer_config)
    return whole_number(asked) or 1


def _offloaded_bytes(spec: ModelSpec) -> int:
    """Weights of each GPU that stay in the machine's memory."""
    try:
        return int(float(argument(spec, "cpu_offload_gb", 0)) * GIB)
    except (TypeError, ValueError):
        return 0
