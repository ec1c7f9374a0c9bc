"""Which nodes a launch may run on."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor.launching.launch_request import LaunchRequest
from supervisor.nodes import gpu_inventory as hardware
from supervisor.nodes.gpu_inventory import gpu_inventory
from supervisor.nodes.on_node import suitable
from tests.supervisor.nodes.ray_nodes import ray_node
from tests.supervisor.samples import model_status, report
from xinfer.errors import LaunchRefused

A = ray_node("10.0.0.1", 8, gpu="A100", zone="a")
B = ray_node("10.0.0.2", 8, gpu="H100", zone="a")


def test_all_without_a_wish() -> None:
    assert suitable([A, B], None, {}) == [A, B]


def test_by_address_and_by_labels() -> None:
    assert suitable([A, B], "10.0.0.2", {}) == [B]
    assert suitable([A, B], None, {"zone": "a"}) == [A, B]
    assert suitable([A, B], None, {"zone": "a", "gpu": "A100"}) == [A]


@pytest.mark.parametrize(
    ("address", "labels", "param", "words"),
    [
        ("10.0.0.9", {}, "worker_ip", "10.0.0.1, 10.0.0.2"),
        (None, {"gpu": "A10"}, "node_labels", "gpu=A10"),
        ("10.0.0.1", {"gpu": "H100"}, "node_labels", "gpu=H100"),
    ],
)
def test_where_there_is_none_the_refusal_says_what_there_is(
    address: str | None, labels: dict[str, str], param: str, words: str
) -> None:
    with pytest.raises(LaunchRefused) as caught:
        suitable([A, B], address, labels)
    assert caught.value.param == param
    assert words in caught.value.message


def test_gpus_of_the_suitable_nodes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model on another node takes none of them."""
    nodes: list[dict[str, Any]] = [{**A, "NodeID": "a"}, {**B, "NodeID": "b"}]
    monkeypatch.setattr(hardware, "open_nodes", lambda: nodes)
    models = [model_status(report("r1", node="10.0.0.1"), gpus=6)]
    assert [node.free for node in gpu_inventory(models)] == [2, 8]
    assert [node.free for node in gpu_inventory(models, None, {"gpu": "H100"})] == [8]
    assert [node.free for node in gpu_inventory(models, "10.0.0.1")] == [2]


@pytest.mark.parametrize(
    ("worker_ip", "address"),
    [
        (None, None),
        ("", None),
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.1:30001", "10.0.0.1"),
        ("[fd00::1]:30001", "fd00::1"),
        ("fd00::1", "fd00::1"),
    ],
)
def test_xinferences_worker_address_has_a_port(worker_ip: str | None, address: str | None) -> None:
    assert LaunchRequest.read({"model_name": "qwen3", "worker_ip": worker_ip}).node == address
