"""The cluster itself on the wire: nodes in brief and in detail, and its end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import ray

from supervisor.api import cluster as cluster_api
from supervisor.nodes import on_node as nodes
from supervisor.nodes.node_stats import gpu_stats, measure
from tests.supervisor.fuzzed import NODE
from xinfer import __version__
from xinfer.gpus import Gpu

HEAD = "127.0.0.1"
OTHER = {**NODE, "NodeID": "1" * 56, "NodeManagerAddress": "10.0.0.2", "Resources": {"CPU": 4.0}}
DEAD = {**NODE, "NodeID": "2" * 56, "NodeManagerAddress": "10.0.0.3", "Alive": False}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """The addresses of nodes that were given something to do, with what it was; figures are those of this machine."""
    done: list[tuple[str, Any]] = []

    async def here(node: Any, task: Any) -> Any:
        done.append((node["NodeManagerAddress"], task))
        return task._function() if task is measure else None

    monkeypatch.setattr(nodes, "on_node", here)
    monkeypatch.setattr(ray, "nodes", lambda: [NODE, OTHER, DEAD])
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(gcs_address=f"{HEAD}:6379"))
    return done


async def test_alive_and_which_version_as_vllm_s_server_has_them(http: httpx.AsyncClient) -> None:
    for path in ("/health", "/ping"):
        answer = await http.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert (await http.get("/version")).json() == {"version": __version__, "xinfer": __version__}


async def test_nodes_in_brief(http: httpx.AsyncClient, asked: list[tuple[str, Any]]) -> None:
    rows = (await http.get("/v1/cluster/info")).json()
    assert [(row["node_type"], row["ip_address"], row["gpu_count"]) for row in rows] == [
        ("Supervisor", HEAD, 0),
        ("Worker", HEAD, 1),
        ("Worker", "10.0.0.2", 0),
    ]
    assert all(isinstance(row["gpu_vram_total"], int) for row in rows)
    assert asked == []


async def test_nodes_in_detail(http: httpx.AsyncClient, asked: list[tuple[str, Any]]) -> None:
    _, worker, _ = (await http.get("/v1/cluster/info", params={"detailed": True})).json()
    assert worker["mem_used"] + worker["mem_available"] > 0
    assert 0 <= worker["cpu_available"] <= worker["cpu_count"]
    assert {"gpu_vram_available", "gpu_utilization", "software_version"} <= worker.keys()
    assert [address for address, _ in asked] == [HEAD, "10.0.0.2"]


def gpu(total: int, free: int, utilization: int | None) -> Gpu:
    mib = 1024**2
    used = (total - free) * mib
    return Gpu(0, "GPU-0", "made up", total * mib, free * mib, used, utilization, "9.0")


@pytest.mark.parametrize(
    ("gpus", "total", "free", "busy"),
    [
        ([], 0, 0, None),
        ([gpu(81559, 80000, 10), gpu(81559, 1000, 90)], 163118, 81000, 50.0),
        ([gpu(100, 100, None), gpu(100, 50, 0)], 100, 50, 0.0),
    ],
)
def test_stats_of_gpus(gpus: list[Gpu], total: int, free: int, busy: float | None) -> None:
    mib = 1024**2
    assert gpu_stats(gpus) == {
        "gpu_vram_total": total * mib,
        "gpu_vram_available": free * mib,
        "gpu_utilization": busy,
    }


async def test_the_end_is_told_to_every_node(http: httpx.AsyncClient, asked: list[tuple[str, Any]]) -> None:
    answer = await http.delete("/v1/clusters")
    assert (answer.status_code, answer.json()) == (200, {"result": True})
    assert asked == [(HEAD, cluster_api.stop_there), ("10.0.0.2", cluster_api.stop_there)]


async def test_web_pages_cannot_end_it(http: httpx.AsyncClient, asked: list[tuple[str, Any]]) -> None:
    answer = await http.delete("/v1/clusters", headers={"Origin": "http://evil.example"})
    assert (answer.status_code, asked) == (403, [])
