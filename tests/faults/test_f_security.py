"""What strangers on the same machine, and pages in its browser, cannot do."""

from __future__ import annotations

import psutil
import requests

from tests.conftest import RunningCluster
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.processes import of_cluster


def processes(cluster: RunningCluster, sign: str) -> list[psutil.Process]:
    record = ClusterRecord.load(cluster.home)
    assert record is not None
    return [p for p in of_cluster(record.id) if sign in " ".join(p.cmdline())]


def listening(process: psutil.Process) -> list[tuple[str, int]]:
    sockets = process.net_connections("tcp")
    return [(c.laddr.ip, c.laddr.port) for c in sockets if c.status == psutil.CONN_LISTEN]


def test_dashboard_wants_the_token(cluster: RunningCluster) -> None:
    """Ray's dashboard is on loopback and its jobs API, which runs code, refuses who has no token."""
    (dashboard,) = processes(cluster, "dashboard/dashboard.py")
    ports = [port for ip, port in listening(dashboard) if ip == "127.0.0.1"]
    answers = [requests.get(f"http://127.0.0.1:{port}/api/jobs/", timeout=10) for port in ports]
    jobs = [answer for answer in answers if answer.status_code != 404]
    assert jobs
    assert all(answer.status_code in (401, 403) for answer in jobs)
    port = next(port for port, answer in zip(ports, answers, strict=True) if answer.status_code != 404)
    submitted = requests.post(f"http://127.0.0.1:{port}/api/jobs/", json={"entrypoint": "true"}, timeout=10)
    assert submitted.status_code in (401, 403)
    stopped = requests.delete(f"http://127.0.0.1:{port}/api/serve/applications/", timeout=10)
    assert stopped.status_code in (401, 403)


def test_haproxy_is_on_loopback(cluster: RunningCluster) -> None:
    """Its front end, statistics and metrics alike."""
    found = [address for process in processes(cluster, "haproxy -db") for address in listening(process)]
    assert len(found) >= 3
    assert {ip for ip, _ in found} == {"127.0.0.1"}


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
    assert not [p for p in everybody if token in " ".join(p.cmdline())]
