"""The engine's process: vLLM's own OpenAI server, tied to the worker that started it.

Run as ``python -m worker.engine_server`` with the arguments of vLLM's API server, or forked from
the fork server. Everything is imported once: vLLM's engine core and workers are forked from here.
Where vLLM has to spawn them instead, each imports this module again. Either way they ask the kernel
to end them with their parent: nothing of an engine survives a ``kill -9`` of any process above it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from worker.vllm_patches.cpu_compilation import load_compiled_models, warm_up_shortly
from worker.vllm_patches.entry_points import remember_entry_points
from worker.vllm_patches.fork import (
    fork_flashinfer,
    fork_inspection,
    fork_processes,
    override_kernels_once,
    track_resources_apart,
)
from worker.vllm_patches.kv_cache_pages import take_kv_cache_meanwhile
from worker.vllm_patches.logger_levels import set_levels_at_once
from worker.vllm_patches.lone_groups import share_lone_groups
from worker.vllm_patches.misfits import hide_misfits
from worker.vllm_patches.plain_text import take_short_ways
from worker.vllm_patches.shared_memory import track_shared_memory_of_cpus
from worker.vllm_patches.spin_wait import leave_cores_to_others
from worker.vllm_patches.web_server import prepare_server_meanwhile
from xinfer.process_lifetime import die_with_parent, die_with_parent_from_fork_on

die_with_parent()
# Here, so that processes that vLLM spawns do it too.
hide_misfits()

_OF_EVERY_ENGINE = (
    "vllm.v1.engine.async_llm",
    "vllm.v1.engine.core",
    "vllm.v1.executor.multiproc_executor",
    "vllm.v1.executor.uniproc_executor",
    "worker.middleware",
)
_LATER = (
    "uvicorn.protocols.http.httptools_impl",
    "uvicorn.protocols.websockets.websockets_sansio_impl",
    "vllm.entrypoints.anthropic.api_router",
    "vllm.entrypoints.generate.structured_decisions.api_router",
    "vllm.entrypoints.openai.chat_completion.api_router",
    "vllm.entrypoints.openai.completion.api_router",
    "vllm.entrypoints.openai.responses.api_router",
    "vllm.entrypoints.serve.profile.api_router",
    "vllm.entrypoints.serve.sagemaker.api_router",
    "vllm.entrypoints.serve.tokenize.api_router",
    "vllm.model_executor.layers.quantization.online.base",
    "vllm.model_executor.models.llama",
    "vllm.model_executor.models.qwen3_moe",
    "vllm.parser.engine.registered_adapters",
    "vllm.v1.core.sched.async_scheduler",
    "vllm.v1.core.sched.scheduler",
)
"""What vLLM imports only when it gets there, each a few hundredths of a second; not every version
has all of it.
"""
_LATER_ON_GPUS = (
    "cudnn",
    "cutlass.base_dsl",
    "torch._inductor.codegen.cuda_combined_scheduling",
    "vllm.device_allocator.cumem",
    "vllm.distributed.device_communicators.custom_all_reduce",
    "vllm.distributed.device_communicators.symm_mem",
    "vllm.v1.attention.backends.flash_attn",
    "vllm.v1.worker.gpu_model_runner",
)
"""Not flashinfer, nor ``vllm.compilation.backends``, which imports it: it makes a CUDA context at
once. Most of its import is cutlass."""
_HEADLESS = "--headless"
_NO_BUILDS = "HUMMING_DISABLE_PARALLEL_BUILD"


def import_engine() -> None:
    """Import what the server, the engine core and its workers are going to need.

    Leaves no thread and no CUDA context.
    """
    with no_builds(), no_collections():
        _entry()
        for name in _OF_EVERY_ENGINE:
            importlib.import_module(name)
        from vllm.platforms import current_platform

        kind = "cpu" if current_platform.is_cpu() else "gpu"
        importlib.import_module(f"vllm.v1.worker.{kind}_worker")
        for name in _LATER if kind == "cpu" else _LATER + _LATER_ON_GPUS:
            with contextlib.suppress(ImportError, OSError, RuntimeError):  # it fails again where it is needed, if it is
                importlib.import_module(name)
    override_kernels_once()
    remember_entry_points()


@contextlib.contextmanager
def no_builds() -> Iterator[None]:
    """Keep humming, a library of kernels, from starting compilers and threads when it is
    imported.

    It builds what it needs when that is needed; until then its variable is gone again, since it
    would also make that slower.
    """
    if _NO_BUILDS in os.environ:
        yield
        return
    os.environ[_NO_BUILDS] = "1"
    try:
        yield
    finally:
        del os.environ[_NO_BUILDS]


@contextlib.contextmanager
def no_collections() -> Iterator[None]:
    """Keep Python from looking for garbage among the 750,000 objects that the imports make, again and
    again, while they are made and ever after: it finds next to none, and takes a third of the time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def run(arguments: Sequence[str]) -> None:
    """Run vLLM's server with ``arguments`` until it is told to stop."""
    serve = _run_headless if _HEADLESS in arguments else _entry()
    sys.argv = ["worker.engine_server", *arguments]
    show_as(sys.argv)
    track_resources_apart()
    fork_processes()
    fork_inspection()
    fork_flashinfer()
    leave_cores_to_others()
    track_shared_memory_of_cpus()
    set_levels_at_once()
    prepare_server_meanwhile()
    take_short_ways()
    load_compiled_models()
    warm_up_shortly()
    share_lone_groups()
    take_kv_cache_meanwhile()
    die_with_parent_from_fork_on()
    serve()


def _entry() -> Callable[[], Any]:
    """What runs vLLM's API server, command line and all."""
    try:
        from vllm.entrypoints.launchers.api_server.entry import main
    except ImportError:  # vLLM before 0.30
        import runpy

        from worker.vllm_patches.v0_20 import complete_servers

        importlib.import_module("vllm.entrypoints.openai.api_server")
        complete_servers()
        return lambda: runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__", alter_sys=True)
    entry: Callable[[], Any] = main
    return entry


def _run_headless() -> None:
    """What runs a part of an engine that has no server, as ``vllm serve --headless`` does."""
    from vllm.entrypoints.cli.serve import ServeSubcommand, make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    ServeSubcommand.cmd(make_arg_parser(FlexibleArgumentParser()).parse_args())


def show_as(argv: Sequence[str]) -> None:
    """Show ``python -m ARGV`` in lists of processes: one that was forked would have the fork
    server's there.
    """
    from setproctitle import setproctitle

    setproctitle(" ".join(["python", "-m", *argv]))


if __name__ == "__main__":
    import_engine()
    run(sys.argv[1:])
