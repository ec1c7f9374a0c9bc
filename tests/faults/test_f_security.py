"""What strangers on the same machine, and pages in its browser, cannot do."""

from __future__ import annotations

import ipaddress

import psutil
import requests

from tests.conftest import RunningCluster
from tests.e2e.traces import listening
from tests.security.ports import Kind, documented, listeners, where
from tests.waiting import wait_for
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.processes import command_line, of_cluster


def processes(cluster: RunningCluster, sign: str) -> list[psutil.Process]:
    record = ClusterRecord.load(cluster.home)
    assert record is not None
    return [p for p in of_cluster(record.id) if sign in command_line(p)]


def test_no_dashboard_unless_it_is_wanted(cluster: RunningCluster) -> None:
    """Nor a server for ``ray://``; ``tests/e2e/test_cluster_commands.py`` asks the jobs API with ``--dashboard``."""
    assert processes(cluster, "raylet")
    assert processes(cluster, "dashboard/dashboard.py") == []
    assert processes(cluster, "ray.util.client.server") == []


def test_haproxy_is_on_loopback(cluster: RunningCluster) -> None:
    """Its front end, statistics and metrics alike."""
    found = [address for process in processes(cluster, "haproxy -db") for address in listening(process)]
    assert len(found) >= 3
    assert {ip for ip, _ in found} == {"127.0.0.1"}


def test_a_cluster_on_loopback_listens_nowhere_else(cluster: RunningCluster) -> None:
    # Right after the start one HAProxy takes the place of another, and who looks may miss both.
    wait_for(lambda: Kind.API in {each.kind for each in listeners(cluster.home)}, 10, "HAProxy's front end")
    found = listeners(cluster.home)
    assert [each for each in found if not ipaddress.ip_address(each.address).is_loopback] == []
    assert [each for each in found if each.kind is Kind.UNKNOWN] == []
    assert {kind.value: places for kind, places in where(found, cluster.home).items()}.items() <= documented(1).items()


def test_web_pages_change_nothing(cluster: RunningCluster) -> None:
    page = {"Origin": "http://evil.example", "Content-Type": "text/plain"}
    refused = requests.post(
        f"{cluster.endpoint}/v1/models", data='{"model_name": "tiny-chat"}', headers=page, timeout=10
    )
    assert refused.status_code == 403
    assert refused.json()["detail"]
    assert requests.delete(f"{cluster.endpoint}/v1/models/x", headers=page, timeout=10).status_code == 403


def test_secrets_stay_out_of_the_logs(cluster: RunningCluster) -> None:
    token = (cluster.home / "ray.token").read_text().strip()
    assert len(token) >= 32
    logs = [path for path in cluster.home.rglob("*") if path.is_file() and "logs" in path.parts]
    assert not [path for path in logs if token in path.read_text(errors="replace")]
    everybody = processes(cluster, "")
    assert not [p for p in everybody if token in command_line(p)]
