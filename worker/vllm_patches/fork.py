"""Has vLLM fork what it would start as new Python processes, each of which would import everything
again.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker, util
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any

_METHOD = "VLLM_WORKER_MULTIPROC_METHOD"


def fork_processes() -> None:
    """The engine core and its workers, unless the environment wants them spawned.

    vLLM's command line has them spawned. On NVIDIA's GPUs vLLM forks them when it is told to,
    and still spawns them where that must be, such as with a CUDA context. On CPU it insists on
    spawning, so that each reads which cores to bind to when it loads OpenMP. Ours are not bound
    unless a launch asks for that, and then spawning stays.
    """
    from vllm.platforms import current_platform

    if os.environ.get(_METHOD) == "spawn":
        return
    if current_platform.is_cuda():
        os.environ[_METHOD] = "fork"
    elif current_platform.is_cpu() and os.environ.get("VLLM_CPU_OMP_THREADS_BIND") == "nobind":
        _fork_on_cpu()


def _fork_on_cpu() -> None:
    from vllm.platforms.cpu import CpuPlatform

    check = CpuPlatform.check_and_update_config

    def check_and_fork(_: type, vllm_config: Any) -> None:
        check(vllm_config)
        os.environ[_METHOD] = "fork"

    CpuPlatform.check_and_update_config = classmethod(check_and_fork)


def override_kernels_once() -> None:
    """Have vLLM put its CPU kernels in the places of Triton's now, by a search through its own
    modules, and not in every worker through those of all packages: more than a second.
    """
    from vllm.platforms import current_platform

    platform = type(current_platform)
    override = getattr(platform, "register_triton_kernel_overrides", None)
    if override:
        with _search_in_vllm():
            override()
        platform.register_triton_kernel_overrides = classmethod(lambda _: None)


@contextmanager
def _search_in_vllm() -> Iterator[None]:
    """Show vLLM's search for kernels no modules but its own: nobody else has them."""
    try:
        dispatcher: Any = importlib.import_module("vllm.triton_utils.dispatcher")
        rebind = dispatcher._rebind_kernels
    except (ImportError, AttributeError):
        # Another version, which searches in its own way.
        yield
        return

    def rebind_in_vllm(overrides: Any) -> None:
        own = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "vllm"}
        dispatcher.sys = SimpleNamespace(modules=own)
        try:
            rebind(overrides)
        finally:
            dispatcher.sys = sys

    dispatcher._rebind_kernels = rebind_in_vllm
    try:
        yield
    finally:
        dispatcher._rebind_kernels = rebind


def track_resources_apart() -> None:
    """Start Python's resource tracker in a session of its own, for this process and all it
    forks.

    It removes the shared memory of those who could not do it themselves, so it must not be
    killed with them: neither by a signal to their group, nor by vLLM, which kills what its
    engine core has started.
    """
    plain = util.spawnv_passfds

    def spawn(path: bytes, args: Sequence[Any], passfds: Sequence[int]) -> int:
        for file in passfds:
            os.set_inheritable(file, True)
        return os.posix_spawn(path, list(args), os.environ, setsid=True)

    util.spawnv_passfds = spawn
    try:
        resource_tracker.ensure_running()
    finally:
        util.spawnv_passfds = plain


def fork_inspection() -> None:
    """The process that imports a model's class to see what it can do, the first time an
    architecture is met on a machine.
    """
    from vllm.model_executor.models import registry

    if hasattr(registry, "_run_in_subprocess"):
        registry._run_in_subprocess = run_in_fork


def fork_flashinfer() -> None:
    """The question that vLLM has for flashinfer while it reads the command line of an engine on
    two GPUs or more.

    To import flashinfer is to make a CUDA context: one too many here, and no process could be
    forked after it.
    """
    from vllm.config.compilation import PassConfig
    from vllm.platforms import current_platform

    ask = getattr(PassConfig, "default_fi_allreduce_fusion_max_size_mb", None)
    if ask and current_platform.is_cuda():
        PassConfig.default_fi_allreduce_fusion_max_size_mb = staticmethod(lambda: run_in_fork(ask))


def run_in_fork(function: Callable[[], Any]) -> Any:
    """What ``function`` returns in a forked process, or ``RuntimeError`` with what it raised
    there.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(function, sender))
    process.start()
    sender.close()
    try:
        answer, error = receiver.recv()
    except EOFError:
        answer = None
        error = "it ended without an answer"
    process.join()
    if error:
        raise RuntimeError(f"Error raised in subprocess: {error}")
    return answer


def _answer(function: Callable[[], Any], sender: Connection) -> None:
    try:
        answer = function()
        error = None
    except Exception as failure:  # noqa: BLE001  # told to the process that asked
        answer = None
        error = f"{type(failure).__name__}: {failure}"
    sender.send((answer, error))
