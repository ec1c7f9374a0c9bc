"""From a model's record to vLLM's command line and environment."""

from __future__ import annotations

import getpass
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker import cpu_model
from worker.compile_ahead import is_compiled, starts_uncompiled
from worker.gang.seat import Seat
from worker.memory.limits import VLLM_CPU_KV_CACHE, memory_limits, runs_on_cpu
from worker.vllm_build import allocators
from xinfer.engine_args import gives_any
from xinfer.messages import ModelSpec
from xinfer.model_size import size_as_number
from xinfer.parallel import parallel_of
from xinfer.settings import ENGINE_VARIABLES, RUST_FRONTEND, EngineSettings
from xinfer.traces import SERVICE_NAME, TRACES_PROTOCOL, traces_target

_OF_RAY = ("OMP_NUM_THREADS", "PYTHONBREAKPOINT")
"""What Ray sets in every worker for its own ends."""
_NO_THREADS_AT_IMPORT = {
    "OPENBLAS_NUM_THREADS": "1",  # NumPy's and OpenCV's pools
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # PyArrow's allocator, where pandas is installed with it
}
"""For libraries that would begin threads when they are imported, which would keep the fork server
from forking.
"""
_OMP_BINDING = "VLLM_CPU_OMP_THREADS_BIND"
_NOT_BOUND = "nobind"
_RANKS = (
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "data_parallel_size",
    "prefill_context_parallel_size",
    "decode_context_parallel_size",
    "nnodes",
)
"""Arguments that may give an engine several processes for its model."""
MIDDLEWARE = "worker.middleware.ContractMiddleware"


def engine_argv(spec: ModelSpec, settings: EngineSettings, host: str, port: int, seat: Seat | None = None) -> list[str]:
    """The command that serves ``spec`` on ``host:port``, or that is a worker with a ``seat`` in a gang which does.

    Arguments given at launch win over those made here.
    """
    limits = memory_limits(spec, settings)
    parallel = parallel_of(spec, can_pipeline=not runs_on_cpu(spec))
    arguments: dict[str, Any] = {
        "model": spec.path,
        "served_model_name": spec.uid,
        "host": host,
        "port": port,
        "middleware": MIDDLEWARE,
        "revision": spec.revision,
        "max_model_len": spec.context_length,
        "quantization": quantization(spec),
        "dtype": cpu_model.dtype(spec),
        "trust_remote_code": spec.trust_remote_code or None,
        "reasoning_parser": spec.reasoning_parser,
        "tool_call_parser": spec.tool_parser,
        "enable_auto_tool_choice": True if spec.tool_parser else None,
        "uvicorn_log_level": "warning",
        "tensor_parallel_size": parallel.tensor if parallel.tensor > 1 or spec.workers > 1 else None,
        "pipeline_parallel_size": parallel.pipeline if spec.workers > 1 else None,
        "gpu_memory_utilization": limits.gpu_share,
        "kv_cache_memory_bytes": limits.kv_cache_bytes,
        "distributed_executor_backend": _executor(spec, settings),
        "enforce_eager": True if starts_uncompiled(spec, settings) else None,
        "otlp_traces_endpoint": _traces_endpoint(spec, settings),
        **(seat.arguments() if seat else {}),
        **spec.engine_args,
    }
    return [sys.executable, "-m", "worker.engine_server", *flags(arguments)]


def _traces_endpoint(spec: ModelSpec, settings: EngineSettings) -> str | None:
    """Where the engine's spans go, by the environment that it gets; None while traces are off."""
    target = traces_target(engine_env(spec, settings))
    if target is None:
        return None
    return target.endpoint


def _executor(spec: ModelSpec, settings: EngineSettings) -> str | None:
    """What runs the model, where it is not for vLLM to choose: the engine core itself.

    On a CPU vLLM gives the model a process of its own even if there is only one, since it would have
    to set up OpenMP before that begins. Here that is done by then, as ``engine_env`` has it. Without
    the way from process to process, ``tiny-chat`` made 7, 26 and 21 % more tokens per second at 1, 8
    and 64 streams on two cores. vLLM turns the name ``uni`` into ``mp``, but not the class.
    """
    one_rank = spec.gpus < 2 and not gives_any(spec.engine_args, _RANKS)
    if not runs_on_cpu(spec) or not one_rank or engine_env(spec, settings)[_OMP_BINDING] != _NOT_BOUND:
        return None
    return "vllm.v1.executor.uniproc_executor.UniProcExecutor"


def flags(arguments: Mapping[str, Any]) -> list[str]:
    """``{"max_num_seqs": 64}`` as vLLM's flags: None is left out, booleans are ``--x`` or
    ``--no-x``.
    """
    words: list[str] = []
    for name, value in arguments.items():
        flag = name.replace("_", "-")
        if value is None:
            continue
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            if isinstance(value, (dict, list)):
                text = json.dumps(value)
            else:
                text = str(value)
            # Else it is taken as a flag.
            words += [f"--{flag}={text}"] if text.startswith("-") else [f"--{flag}", text]
    return words


def quantization(spec: ModelSpec) -> str | None:
    """vLLM reads the method from a quantized checkpoint's own config; only one applied at load
    has to be named.
    """
    if spec.format == "bnb":
        return "bitsandbytes"
    return None


def core_timeout_s(spec: ModelSpec, settings: EngineSettings) -> float:
    """How long the engine core may be busy with one step, in seconds: on a CPU, a large model's takes its time."""
    if runs_on_cpu(spec):
        return settings.core_timeout_s * max(1.0, _billions(spec))
    return settings.core_timeout_s


def _billions(spec: ModelSpec) -> float:
    """The model's parameters; of one that the catalog does not know, as many as its files hold in 16 bits each."""
    size = size_as_number(spec.size_in_billions)
    if isinstance(size, (int, float)):
        return size
    weights = Path(spec.path).glob("*.safetensors")
    return sum(file.stat().st_size for file in weights) / 2e9


def _compiler_cache() -> str:
    """Where PyTorch's compiler keeps what it has made, for all engines of this user."""
    return str(Path(tempfile.gettempdir()) / f"torchinductor_{getpass.getuser()}")


def engine_env(spec: ModelSpec, settings: EngineSettings) -> dict[str, str]:
    """The environment of the engine's process: this one's, made quiet and bounded, then the
    operator's and the launch's own.
    """
    cpu_only = {
        _OMP_BINDING: _NOT_BOUND,  # bound to cores, two engines on one machine would sit on the same ones
        "OMP_NUM_THREADS": str(cpu_model.threads()),
        **({"LD_PRELOAD": ":".join(allocators())} if allocators() else {}),
    }
    defaults = {
        "VLLM_NO_USAGE_STATS": "1",
        "PYTHONUNBUFFERED": "1",
        "TORCHINDUCTOR_CACHE_DIR": _compiler_cache(),  # by itself it would be among an engine's temporary files
        ENGINE_VARIABLES["core_timeout_s"]: str(core_timeout_s(spec, settings)),
        **_NO_THREADS_AT_IMPORT,
        **(cpu_only if runs_on_cpu(spec) else {}),
        **({cpu_model.IS_COMPILED: "1"} if is_compiled(spec) else {}),
    }
    inherited = {name: value for name, value in os.environ.items() if name not in _OF_RAY}
    operators = {name: inherited[name] for name in defaults if name in inherited}
    env = {**inherited, **defaults, **operators, **settings.extra_env, **spec.env}
    target = traces_target(env)
    if target:
        # vLLM knows no other variable for it, and takes gRPC for usual.
        env[TRACES_PROTOCOL] = target.protocol
        env.setdefault(SERVICE_NAME, "vllm")
    # The command line says it in bytes.
    env.pop(VLLM_CPU_KV_CACHE, None)
    # An operator may have set it for a server of their own; a launch that does is refused.
    env.pop(RUST_FRONTEND, None)
    return env
