"""The cluster itself on the wire: nodes in brief and in detail, and its end."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import ray
from ray.dashboard.modules.reporter.gpu_providers import GpuUtilizationInfo
from ray.dashboard.utils import to_google_style

from supervisor.api import cluster as cluster_api
from supervisor.nodes import on_node as nodes
from supervisor.nodes.node_stats import NodeReports, report_of
from tests.supervisor.fuzzed import NODE
from tests.supervisor.servers import RegistryDouble
from xinfer import __version__

HEAD = "127.0.0.1"
OTHER = {**NODE, "NodeID": "1" * 56, "NodeManagerAddress": "10.0.0.2", "Resources": {"CPU": 4.0}}
DEAD = {**NODE, "NodeID": "2" * 56, "NodeManagerAddress": "10.0.0.3", "Alive": False}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """The addresses of nodes that were given something to do, with what it was."""
    done: list[tuple[str, Any]] = []

    async def here(node: Any, task: Any, timeout_s: float) -> Any:
        done.append((node["NodeManagerAddress"], task))

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


def summary(*gpus: GpuUtilizationInfo) -> dict[str, Any]:
    """What Ray's agent on one node publishes."""
    node: dict[str, Any] = to_google_style({"gpus": list(gpus)})
    return {**node, "cpu": 25.0, "cpus": [8, 4], "mem": [1000, 600, 40.0, 400]}


async def test_nodes_in_detail(http: httpx.AsyncClient, registry: RegistryDouble, asked: list[tuple[str, Any]]) -> None:
    """From what they report by themselves; one that has not yet is listed without it."""
    registry.answers["node_reports"] = {NODE["NodeID"]: report_of(summary())}
    head, worker, other = (await http.get("/v1/cluster/info", params={"detailed": True})).json()
    assert (worker["mem_total"], worker["mem_used"], worker["mem_available"]) == (1000, 400, 600)
    assert (worker["cpu_count"], worker["cpu_available"]) == (8, 6.0)
    assert {"gpu_vram_available", "gpu_utilization", "software_version"} <= worker.keys()
    assert 0 <= worker["age_s"] < 10
    assert head["mem_used"] == 400
    assert "mem_used" not in other
    assert asked == [], "no task is started"


def test_reports_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """The latest one of each node counts, for a minute; what has measured nothing yet is none."""
    reports = NodeReports()
    reports.take("RAY_REPORTER:aa", json.dumps(summary()))
    reports.take("RAY_REPORTER:aa", json.dumps({**summary(), "mem": [1000, 100, 90.0, 900]}))
    reports.take("RAY_REPORTER:bb", json.dumps({"now": 1}))
    assert {node: report.stats["mem_used"] for node, report in reports.latest().items()} == {"aa": 900}
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 61)
    assert reports.latest() == {}


async def test_nodes_in_detail_while_nobody_reports(
    http: httpx.AsyncClient, registry: RegistryDouble, asked: list[tuple[str, Any]]
) -> None:
    registry.away = True
    await registry.tell()
    rows = (await http.get("/v1/cluster/info", params={"detailed": True})).json()
    assert [row["ip_address"] for row in rows] == [HEAD, HEAD, "10.0.0.2"]
    assert all("mem_used" not in row for row in rows)


def gpu(total: int, free: int, utilization: int | None) -> GpuUtilizationInfo:
    return GpuUtilizationInfo(
        index=0, name="made up", uuid="GPU-0", utilization_gpu=utilization, memory_used=total - free, memory_total=total,
        processes_pids=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("gpus", "total", "free", "busy"),
    [
        ([], 0, 0, None),
        ([gpu(81559, 80000, 10), gpu(81559, 1000, 90)], 163118, 81000, 50.0),
        ([gpu(100, 100, None), gpu(100, 50, 0)], 100, 50, 0.0),
    ],
)
def test_stats_of_gpus(gpus: list[GpuUtilizationInfo], total: int, free: int, busy: float | None) -> None:
    mib = 1024**2
    stats = report_of(summary(*gpus)).stats
    assert stats["gpu_vram_total"] == total * mib
    assert stats["gpu_vram_available"] == free * mib
    assert stats["gpu_utilization"] == busy


async def test_the_end_is_told_to_every_node(http: httpx.AsyncClient, asked: list[tuple[str, Any]]) -> None:
    answer = await http.delete("/v1/clusters")
    assert (answer.status_code, answer.json()) == (200, {"result": True})
    assert asked == [(HEAD, cluster_api.stop_there), ("10.0.0.2", cluster_api.stop_there)]


async def test_web_pages_cannot_end_it(http: httpx.AsyncClient, asked: list[tuple[str, Any]]) -> None:
    answer = await http.delete("/v1/clusters", headers={"Origin": "http://evil.example"})
    assert (answer.status_code, asked) == (403, [])
