"""Work done in a forked process instead of a new one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import ROOT
from tests.waiting import wait_for
from worker.vllm_patches.fork import fork_flashinfer, fork_processes, run_in_fork

METHOD = "VLLM_WORKER_MULTIPROC_METHOD"

_MAKES_SHARED_MEMORY = f"""
import os, sys, time
sys.path.insert(0, {str(ROOT)!r})
from multiprocessing import shared_memory
from worker.vllm_patches.fork import track_resources_apart
track_resources_apart()
if os.fork() == 0:
    memory = shared_memory.SharedMemory(create=True, size=100)
    print(memory.name, flush=True)
time.sleep(3600)
"""

_LOOKS_FOR_KERNELS = """
import gc, json, sys
from worker.engine_server import import_engine
import_engine()
from vllm.triton_utils import dispatcher

originals = [original for original, _ in dispatcher._registry.values()]
left = []
for name, module in list(sys.modules.items()):
    for attribute, value in list(getattr(module, "__dict__", {}).items()):
        inner = vars(value).get("kernel") if hasattr(value, "__dict__") else None
        if any(each is original for each in (value, inner) for original in originals):
            left.append(f"{name}.{attribute}")
facts = {"originals": len(originals), "left": left, "search": dispatcher.sys is sys, "frozen": gc.get_freeze_count()}
print(json.dumps({**facts, "collects": gc.isenabled()}))
"""


def test_answer_comes_from_another_process() -> None:
    here = {"pid": os.getpid()}
    answer = run_in_fork(lambda: (os.getpid(), here))  # neither the function nor what it holds has to be picklable
    assert answer[0] != os.getpid()
    assert answer[1] == here


def test_large_answer() -> None:
    assert len(run_in_fork(lambda: b"x" * 10_000_000)) == 10_000_000


def test_what_it_raises() -> None:
    with pytest.raises(RuntimeError, match="ValueError: no such class"):
        run_in_fork(lambda: (_ for _ in ()).throw(ValueError("no such class")))


def test_it_dies() -> None:
    with pytest.raises(RuntimeError, match="without an answer"):
        run_in_fork(lambda: os._exit(3))


@pytest.mark.parametrize(
    ("is_cuda", "before", "after"),
    [(True, None, "fork"), (True, "fork", "fork"), (True, "spawn", "spawn"), (False, None, None)],
)
def test_on_gpus_vllm_is_told_to_fork(
    monkeypatch: pytest.MonkeyPatch, is_cuda: bool, before: str | None, after: str | None
) -> None:
    """Its command line would choose to spawn, unless the variable is set; the last case is another kind of accelerator."""
    platform = SimpleNamespace(is_cuda=lambda: is_cuda, is_cpu=lambda: False)
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "vllm.platforms", SimpleNamespace(current_platform=platform))
    monkeypatch.setenv(METHOD, before or "")  # so that it is put back
    if before is None:
        monkeypatch.delenv(METHOD)
    fork_processes()
    assert os.environ.get(METHOD) == after


@pytest.mark.parametrize("is_cuda", [True, False])
def test_flashinfer_is_asked_elsewhere(monkeypatch: pytest.MonkeyPatch, is_cuda: bool) -> None:
    class PassConfig:
        @staticmethod
        def default_fi_allreduce_fusion_max_size_mb() -> dict[int, int]:
            return {2: os.getpid()}

    platform = SimpleNamespace(is_cuda=lambda: is_cuda)
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "vllm.platforms", SimpleNamespace(current_platform=platform))
    monkeypatch.setitem(sys.modules, "vllm.config", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "vllm.config.compilation", SimpleNamespace(PassConfig=PassConfig))
    fork_flashinfer()
    assert (PassConfig().default_fi_allreduce_fusion_max_size_mb()[2] == os.getpid()) != is_cuda


def test_shared_memory_is_removed_when_the_whole_group_is_killed() -> None:
    argv = [sys.executable, "-c", _MAKES_SHARED_MEMORY]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        assert process.stdout
        memory = Path("/dev/shm") / process.stdout.readline().decode().strip()
        assert memory.exists()
        os.killpg(process.pid, signal.SIGKILL)
    wait_for(lambda: not memory.exists(), 5, "its removal")


def test_no_module_keeps_a_kernel_of_tritons() -> None:
    """Of any package, though only vLLM's are searched."""
    argv = [sys.executable, "-c", _LOOKS_FOR_KERNELS]
    output = subprocess.run(argv, check=True, cwd=ROOT, capture_output=True, text=True, timeout=120).stdout
    found = json.loads(output.splitlines()[-1])
    assert found["originals"] > 0
    assert found["left"] == []
    assert found["search"], "vLLM is left with a part of the modules"
    assert (found["frozen"] > 100_000, found["collects"]) == (True, True)
