"""Where Prometheus is sent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import ray

from supervisor.api import scrape_targets
from supervisor.api.scrape_targets import SupervisorAddress, engine_targets, haproxy_targets, ray_targets
from tests.supervisor.samples import model_status, report
from tests.supervisor.servers import RegistryDouble
from xinfer.messages import ReplicaStage

HERE = "10.0.0.1"


def controller(monkeypatch: pytest.MonkeyPatch, host: str, *targets: tuple[str, str, int]) -> None:
    """Play Serve's controller: it listens at ``host`` and has supervisors with these names, nodes and ports."""

    def remote(value: Any) -> Any:
        async def call(*_: Any, **__: Any) -> Any:
            return value

        return SimpleNamespace(remote=call)

    found = [SimpleNamespace(name=name, ip=node, port=port) for name, node, port in targets]
    groups = [
        SimpleNamespace(app_name="xinfer", protocol="HTTP", targets=found),
        SimpleNamespace(app_name="xinfer", protocol="gRPC", targets=found),
        SimpleNamespace(app_name="", protocol="HTTP", targets=[SimpleNamespace(name="proxy", ip=HERE, port=9997)]),
    ]
    options = SimpleNamespace(host=host)
    played = SimpleNamespace(get_target_groups=remote(groups), get_http_config=remote(options))
    monkeypatch.setattr(scrape_targets, "_controller", lambda: played)


@pytest.fixture(autouse=True)
def nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray with a node that lives and one that has left."""
    alive = {"NodeManagerAddress": HERE, "MetricsExportPort": 8080, "Alive": True}
    monkeypatch.setattr("supervisor.api.scrape_targets.ray.nodes", lambda: [alive, {**alive, "Alive": False}])


async def asked(http: httpx.AsyncClient, **params: str) -> list[tuple[str, str, dict[str, str]]]:
    found = (await http.get("/v1/metrics/targets", params=params)).json()
    return [(each["labels"].pop("job"), *each["targets"], each["labels"]) for each in found]


async def test_everything(http: httpx.AsyncClient, registry: RegistryDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    controller(monkeypatch, "0.0.0.0", ("s1", HERE, 30001), ("s2", HERE, 30002), ("s3", "10.0.0.2", 30001))
    await registry.tell(model_status(report("r1", address="http://10.0.0.1:80", node=HERE)))
    supervisor = {"__metrics_path__": "/metrics/supervisor"}
    haproxy = {"__metrics_path__": "/metrics/haproxy"}
    assert await asked(http) == [
        ("xinfer-supervisor", "10.0.0.1:30001", {"supervisor": "s1", "node": HERE, **supervisor}),
        ("xinfer-supervisor", "10.0.0.1:30002", {"supervisor": "s2", "node": HERE, **supervisor}),
        ("xinfer-supervisor", "10.0.0.2:30001", {"supervisor": "s3", "node": "10.0.0.2", **supervisor}),
        ("xinfer-haproxy", "10.0.0.1:30002", {"node": HERE, **haproxy}),
        ("xinfer-haproxy", "10.0.0.2:30001", {"node": "10.0.0.2", **haproxy}),
        ("xinfer-engine", "10.0.0.1:80", {"model": "m", "replica": "r1", "node": HERE}),
        ("xinfer-ray", "10.0.0.1:8080", {"node": HERE}),
    ]


async def test_one_kind(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    await registry.tell(model_status(report("r1", address="http://10.0.0.1:80")))
    assert [job for job, *_ in await asked(http, component="engine")] == ["xinfer-engine"]
    assert [job for job, *_ in await asked(http, component="ray")] == ["xinfer-ray"]
    assert (await http.get("/v1/metrics/targets?component=gpu")).status_code == 400


async def test_supervisors_of_a_cluster_on_loopback(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    controller(monkeypatch, "127.0.0.1", ("s1", "127.0.0.2", 30001))
    ((_, address, labels),) = await asked(http, component="supervisor")
    assert (address, labels["node"]) == ("127.0.0.1:30001", "127.0.0.2")


async def test_serve_s_controller_that_is_away(http: httpx.AsyncClient) -> None:
    """No Ray is started to look for it."""
    assert (await http.get("/v1/metrics/targets")).status_code == 503
    assert not ray.is_initialized()


async def test_haproxy_that_does_not_respond(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape_targets, "RAY_SERVE_HAPROXY_METRICS_PORT", 1)
    assert (await http.get("/metrics/haproxy")).status_code == 503


def test_replicas_on_their_way_up_and_nodes_without_metrics_are_no_targets() -> None:
    model = model_status(report("r1", ReplicaStage.LOADING), report("r2", address="http://10.0.0.2:81"))
    assert [each["targets"] for each in engine_targets({"m": model})] == [["10.0.0.2:81"]]
    assert ray_targets([{"NodeManagerAddress": HERE, "MetricsExportPort": 0}]) == []
    assert haproxy_targets([]) == []
    (only,) = haproxy_targets([SupervisorAddress("a", HERE, "x:1"), SupervisorAddress("b", HERE, "x:2")])
    assert only["targets"] == ["x:2"], "one of each node is enough"
