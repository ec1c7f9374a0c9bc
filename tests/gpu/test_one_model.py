"""One model on one GPU: launched, asked, terminated; and its worker killed."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

import pytest

from tests.e2e.traces import ray_side
from tests.gpu.checks import MOST_LEFT_MIB, Book
from tests.gpu.device import Device, processes
from tests.waiting import wait_for
from xinfer.bench.launching.bench_cluster import BenchCluster
from xinfer.bench.launching.cluster import Cluster

pytestmark = pytest.mark.gpu

UID = "tiny"
QUESTION = [{"role": "user", "content": "What is the largest animal?"}]
_GONE_S = 20.0
_AGAIN_S = 180.0


def test_life(lab: BenchCluster, device: Device, book: Book) -> None:
    """From its launch to its end, with Ray's count of GPUs and the driver's count of memory."""
    used_before, free_before = device.used_mib(), free_gpus(lab.cluster)
    began = time.monotonic()
    lab.launch(UID)
    stages = lab.progress(UID)
    book.add("launch", f"{time.monotonic() - began:.1f} s, stage {stages['stage']}")
    footprint = lab.footprint(UID)
    free_with = free_gpus(lab.cluster)
    where = [gpus for pid, gpus in processes().items() if pid in {each.pid for each in footprint.processes}]
    strays = [gpus for gpus in where if gpus != {device.uuid}]
    book.add("own-gpu", f"{len(where)}, {len(strays)}", bool(where) and not strays)
    ask(lab, book)
    began = time.monotonic()
    lab.client.terminate_model(UID)
    footprint.wait_until_gone(_GONE_S, {device.uuid: used_before})
    book.add("terminate", f"{time.monotonic() - began:.2f} s")
    left = device.used_within(_GONE_S, used_before) - used_before
    book.add("terminate-memory", f"{left} MiB above {used_before}", left <= MOST_LEFT_MIB)
    wait_for(lambda: free_gpus(lab.cluster) == free_before, _GONE_S, "Ray's GPU")
    reserved = free_with == free_before - 1
    book.add("reserved", f"{free_before:g}, {free_with:g}, {free_before:g}", reserved)
    assert reserved
    assert where
    assert not strays
    assert left <= MOST_LEFT_MIB


def ask(lab: BenchCluster, book: Book) -> None:
    """Chat, thinking switched by the request, and a stream."""
    model: Any = lab.client.get_model(UID)
    short = {"max_tokens": 200, "temperature": 0}
    plain = message(model.chat(QUESTION, generate_config=short, enable_thinking=False))
    thinking = message(model.chat(QUESTION, generate_config=short, enable_thinking=True))
    book.add("chat", plain["content"])
    is_switched = bool(thinking.get("reasoning_content")) and not plain.get("reasoning_content")
    book.add(
        "thinking", f"{len(thinking.get('reasoning_content') or '')} characters of reasoning, and none", is_switched
    )
    chunks = list(model.chat(QUESTION, generate_config={**short, "stream": True}, enable_thinking=False))
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])
    ends = [chunk["choices"][0]["finish_reason"] for chunk in chunks if chunk["choices"]]
    book.add("stream", f"{len(chunks)} chunks, {ends[-1]}")
    assert plain["content"]
    assert is_switched
    assert text == plain["content"]
    assert ends[-1] == "stop"


def message(answer: Any) -> dict[str, Any]:
    found: dict[str, Any] = answer["choices"][0]["message"]
    return found


def test_killed_worker(lab: BenchCluster, device: Device, book: Book) -> None:
    """kill -9 of the Ray actor: its engine goes with it, GPU memory too, and another replica comes."""
    used_before = device.used_mib()
    lab.launch(UID)
    footprint = lab.footprint(UID)
    (actor,) = footprint.actors
    old = {process.pid for process in footprint.processes}
    began = time.monotonic()
    os.kill(actor.pid, signal.SIGKILL)
    left = device.used_within(_GONE_S, used_before + MOST_LEFT_MIB) - used_before
    book.add("kill-memory", f"{left} MiB after {time.monotonic() - began:.1f} s", left <= MOST_LEFT_MIB)
    wait_for(lambda: answers(lab), _AGAIN_S, "another replica")
    book.add("kill-again", f"{time.monotonic() - began:.1f} s")
    assert left <= MOST_LEFT_MIB
    assert not old & set(processes())


def answers(lab: BenchCluster) -> bool:
    """Whether a replica of the model answers now."""
    try:
        model: Any = lab.client.get_model(UID)
        return bool(model.chat(QUESTION, generate_config={"max_tokens": 4})["choices"])
    except Exception:  # noqa: BLE001  # whatever is said while there is none
        return False


def free_gpus(cluster: Cluster) -> float:
    """As Ray counts them."""
    said, _ = ray_side(cluster, "free").communicate(timeout=60)
    free: float = json.loads(said)["GPU"]
    return free
