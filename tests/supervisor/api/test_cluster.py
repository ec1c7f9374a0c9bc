"""The cluster itself on the wire: nodes in brief and in detail, and its end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import ray

from supervisor.nodes import on_node as nodes
from tests.supervisor.fuzzed import NODE
from tests.supervisor.samples import node_report
from tests.supervisor.servers import RegistryDouble
from xinfer import __version__
from xinfer.messages import GpuReport

HEAD = "127.0.0.1"
OTHER = {**NODE, "NodeID": "1" * 56, "NodeManagerAddress": "10.0.0.2", "Resources": {"CPU": 4.0}}
DEAD = {**NODE, "NodeID": "2" * 56, "NodeManagerAddress": "10.0.0.3", "Alive": False}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """The addresses of nodes that were given something to do, with what it was."""
    done: list[tuple[str, Any]] = []

    async def here(node: Any, method: str, timeout_s: float) -> Any:
        done.append((node["NodeManagerAddress"], method))

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


async def test_nodes_in_detail(http: httpx.AsyncClient, registry: RegistryDouble, asked: list[tuple[str, Any]]) -> None:
    """From what they report by themselves; one that has not yet is listed without it."""
    registry.answers["node_reports"] = {NODE["NodeID"]: node_report()}
    head, worker, other = (await http.get("/v1/cluster/info", params={"detailed": True})).json()
    assert (worker["mem_total"], worker["mem_used"], worker["mem_available"]) == (1000, 400, 600)
    assert (worker["cpu_count"], worker["cpu_available"]) == (8, 6.0)
    assert {"gpu_vram_available", "gpu_utilization", "software_version"} <= worker.keys()
    assert 0 <= worker["age_s"] < 10
    assert head["mem_used"] == 400
    assert "mem_used" not in other
    assert asked == [], "no task is started"


async def test_nodes_in_detail_while_nobody_reports(
    http: httpx.AsyncClient, registry: RegistryDouble, asked: list[tuple[str, Any]]
) -> None:
    registry.away = True
    await registry.tell()
    rows = (await http.get("/v1/cluster/info", params={"detailed": True})).json()
    assert [row["ip_address"] for row in rows] == [HEAD, HEAD, "10.0.0.2"]
    assert all("mem_used" not in row for row in rows)


def gpu(total: int | None, used: int | None, utilization: int | None) -> GpuReport:
    return GpuReport(0, "made up", total, used, utilization)


@pytest.mark.parametrize(
    ("gpus", "total", "free", "busy"),
    [
        ([], 0, 0, None),
        ([gpu(81000, 1000, 10), gpu(81000, 80000, 90)], 162000, 81000, 50.0),
        ([gpu(100, 0, None), gpu(100, 50, 0)], 100, 50, 0.0),
        ([gpu(None, None, 30)], 0, 0, 30.0),
    ],
)
async def test_gpus_in_detail(
    http: httpx.AsyncClient,
    registry: RegistryDouble,
    asked: list[tuple[str, Any]],
    gpus: list[GpuReport],
    total: int,
    free: int,
    busy: float | None,
) -> None:
    registry.answers["node_reports"] = {NODE["NodeID"]: node_report(gpus=tuple(gpus))}
    _, worker, _ = (await http.get("/v1/cluster/info", params={"detailed": True})).json()
    assert (worker["gpu_vram_total"], worker["gpu_vram_available"], worker["gpu_utilization"]) == (total, free, busy)


async def test_the_end_is_told_to_every_node(http: httpx.AsyncClient, asked: list[tuple[str, Any]]) -> None:
    answer = await http.delete("/v1/clusters")
    assert (answer.status_code, answer.json()) == (200, {"result": True})
    assert asked == [(HEAD, "stop_node"), ("10.0.0.2", "stop_node")]


async def test_web_pages_cannot_end_it(http: httpx.AsyncClient, asked: list[tuple[str, Any]]) -> None:
    answer = await http.delete("/v1/clusters", headers={"Origin": "http://evil.example"})
    assert (answer.status_code, asked) == (403, [])
