"""Groups of processes in an engine of one process, and of two, with PyTorch's own Gloo."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import vllm
from torch import distributed

from worker.vllm_patches.lone_groups import share_lone_groups

_PROGRAM = """
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import distributed

from worker.vllm_patches.lone_groups import share_lone_groups

sys.modules["vllm"] = SimpleNamespace(__version__="0.32.0")  # to import the real one takes seconds
share_lone_groups()
rank, world, store = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
distributed.init_process_group("gloo", init_method="file://" + store, rank=rank, world_size=world)
groups = [distributed.new_group(list(range(world)), backend="gloo") for _ in range(12)]
def loops():
    return sum((task / "comm").read_text().startswith("gloo_tcp") for task in Path("/proc/self/task").iterdir())

# A thread gives itself its name, once it runs.
deadline = time.monotonic() + 10
while loops() < int(sys.argv[4]) and time.monotonic() < deadline:
    time.sleep(0.01)
time.sleep(0.2)
found = loops()
numbers = torch.tensor([rank + 1])
for group in groups:
    distributed.all_reduce(numbers, group=group)
for group in groups:
    distributed.destroy_process_group(group)
distributed.destroy_process_group()
print(len(set(groups)), found, numbers.item())
"""


def run(world: int, folder: Path, loops: int) -> list[list[str]]:
    """What each process of ``world`` prints: different groups, threads that wake, and the numbers after twelve sums.

    It waits for so many ``loops``, as the threads are called, and finds more if there are more.
    """
    argv = [sys.executable, "-c", _PROGRAM]
    words = [[str(rank), str(world), str(folder / "store"), str(loops)] for rank in range(world)]
    processes = [subprocess.Popen([*argv, *each], stdout=subprocess.PIPE, text=True) for each in words]
    outputs = [process.communicate(timeout=120)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0] * world
    return outputs


def test_alone_there_is_one(tmp_path: Path) -> None:
    assert run(1, tmp_path, 2) == [["1", "2", "1"]]


def test_two_processes_have_all_of_them(tmp_path: Path) -> None:
    sums = str(3 * 2**11)
    assert run(2, tmp_path, 13) == [["12", "13", sums], ["12", "13", sums]]


def test_another_version_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm, "__version__", "0.33.0")
    before = distributed.new_group, distributed.destroy_process_group
    share_lone_groups()
    assert (distributed.new_group, distributed.destroy_process_group) == before
