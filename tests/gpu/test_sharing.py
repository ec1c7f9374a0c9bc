"""Two models on one GPU by fractions, and a third that has no place."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gpu.checks import MOST_LEFT_MIB, Book
from tests.gpu.device import Device
from xinfer.bench.launching.bench_cluster import BenchCluster
from xinfer.errors import LaunchRefused

pytestmark = pytest.mark.gpu

SHARE = 0.45
_CONTEXT_MIB = 1024
"""What a process has on a GPU that vLLM does not count to its share: the CUDA context and the kernels."""


def test_two_and_a_third(lab: BenchCluster, device: Device, book: Book) -> None:
    """One after the other. The third hears at once why it cannot be."""
    before = device.used_mib()
    used = []
    for uid in ("left", "right"):
        lab.launch(uid, n_gpu=SHARE)
        used.append(device.used_mib() - before - sum(used))
    said = {uid: first_word(lab, uid) for uid in ("left", "right")}
    book.add("two", f"{SHARE:g} and {SHARE:g}: {', '.join(said)} answer", all(said.values()))
    most = SHARE * device.total_mib + _CONTEXT_MIB
    book.add("two-memory", f"{used[0]} and {used[1]} of {device.total_mib} MiB", max(used) <= most)
    with pytest.raises(LaunchRefused) as refused:
        lab.client.launch_model("tiny-chat", model_uid="third", n_gpu=SHARE)
    book.add("third", refused.value.message, "free" in refused.value.message)
    assert all(said.values())
    assert max(used) <= most
    assert "free" in refused.value.message


def test_at_once(lab: BenchCluster, device: Device, book: Book) -> None:
    """Each measures the GPU's memory while the other fills it."""
    before = device.used_mib()
    for uid in ("left", "right"):
        lab.client.launch_model("tiny-chat", model_uid=uid, n_gpu=SHARE, wait_ready=False)
    for uid in ("left", "right"):
        lab.wait_until_ready(uid)
    said = {uid: first_word(lab, uid) for uid in ("left", "right")}
    book.add("at-once", f"{', '.join(said)} answer, {device.used_mib() - before} MiB", all(said.values()))
    lab.clear()
    left = device.used_within(20, before + MOST_LEFT_MIB) - before
    assert all(said.values())
    assert left <= MOST_LEFT_MIB


def first_word(lab: BenchCluster, uid: str) -> str:
    model: Any = lab.client.get_model(uid)
    question = [{"role": "user", "content": "Hello"}]
    answer = model.chat(question, generate_config={"max_tokens": 8, "temperature": 0}, enable_thinking=False)
    content: str = answer["choices"][0]["message"]["content"]
    return content
