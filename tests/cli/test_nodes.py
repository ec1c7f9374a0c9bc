"""``xinfer nodes``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from tests.client.scripted_server import ScriptedServer
from xinfer.cli import nodes

Run = Callable[..., Result]
GIB = 1024**3


def node(**facts: Any) -> dict[str, Any]:
    usual = {
        "id": "ab" * 28,
        "address": "10.0.0.2",
        "hostname": "host-2",
        "head": False,
        "state": "READY",
        "labels": {"zone": "a"},
        "num_gpus": 8.0,
        "replicas": [],
        "cpu": {"count": 8, "used_percent": 12.4},
        "memory": {"total": 64 * GIB, "used": 16 * GIB, "available": 48 * GIB},
        "disk": {"total": 100 * GIB, "free": 50 * GIB},
        "gpus": [{"index": n, "name": "H100", "memory_total": 1, "memory_used": 0, "utilization": 0} for n in range(8)],
        "cached_models": [],
        "warm_host": "ready",
        "version": "0.1.0",
        "age_s": 1.0,
    }
    return {**usual, **facts}


REPLICA = {"model_uid": "m", "replica": "m-r1"}
SILENT = node(head=True, cpu=None, memory=None, disk=None, gpus=[], warm_host=None, age_s=None, hostname="", labels={})


def test_list(run: Run, server: ScriptedServer) -> None:
    """What a node has not reported is a dash."""
    server.reply("GET", "/v1/nodes", {"object": "list", "data": [SILENT, node(replicas=[REPLICA])]})
    header, head, other = run("nodes").stdout.splitlines()
    assert header.startswith("NODE")
    assert head.split() == ["abababab", "10.0.0.2", "(head)", "-", "READY", "8", "-", "-", "-", "-", "-", "-"]
    assert other.split() == [
        *("abababab", "10.0.0.2", "host-2", "READY", "8", "H100", "12", "16.0/64.0", "50.0", "ready", "zone=a", "m-r1")
    ]
    assert json.loads(run("nodes", "--json").stdout)[1]["state"] == "READY"


def test_drain_waits_until_no_replica_is_left(
    run: Run, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "_POLL_PERIOD_S", 0.01)
    server.reply("POST", "/v1/nodes/10.0.0.2/drain", node(state="DRAINING", replicas=[REPLICA]))
    server.reply("GET", f"/v1/nodes/{'ab' * 28}", node(state="DRAINED"))
    result = run("nodes", "drain", "10.0.0.2")
    assert result.stdout == "Node 10.0.0.2 is drained.\n"
    assert "m-r1" in result.stderr


def test_drain_without_waiting(run: Run, server: ScriptedServer) -> None:
    server.reply("POST", "/v1/nodes/host-2/drain", node(state="DRAINING", replicas=[REPLICA]))
    assert json.loads(run("nodes", "drain", "host-2", "--no-wait", "--json").stdout)["state"] == "DRAINING"
    assert len(server.asked) == 1


def test_undrain(run: Run, server: ScriptedServer) -> None:
    server.reply("POST", "/v1/nodes/10.0.0.2/undrain", {"result": True})
    assert run("nodes", "undrain", "10.0.0.2").stdout == "Node 10.0.0.2 joins anew.\n"
