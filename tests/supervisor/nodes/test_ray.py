"""What xinfer changes of Ray: where its services listen."""

from __future__ import annotations

import inspect

import prometheus_client
import pytest
from ray._private import prometheus_exporter, ray_constants, services
from ray._private.node import Node
from ray.scripts import scripts

from supervisor.nodes import ray_command, ray_metrics
from supervisor.nodes.ray_addresses import keep_loopback


def test_addresses_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "resolve_ip_for_localhost", services.resolve_ip_for_localhost)
    keep_loopback()
    assert services.canonicalize_bootstrap_address("127.0.0.1:6379") == "127.0.0.1:6379"
    assert services.canonicalize_bootstrap_address("10.0.0.1:6379") == "10.0.0.1:6379"


def test_scripts_with_metrics_and_no_others_are_run_by_xinfer() -> None:
    """The function is there, and its first words end before the script."""
    build = ray_command.with_own_runner(getattr(services, ray_command._BUILDER))
    agent = build(ray_constants.PROCESS_TYPE_DASHBOARD_AGENT, "session")
    assert agent[-2:] == ["-m", "supervisor.nodes.ray_metrics"]
    assert ray_command.RUNNER not in build(ray_constants.PROCESS_TYPE_WORKER, "session")


def test_api_server_is_for_the_dashboard() -> None:
    """Both functions that are replaced are there, and take what Ray's own callers give."""
    started: list[dict[str, object]] = []
    start = ray_command.with_dashboard_only(lambda _, **asked: started.append(asked))
    node = object.__new__(Node)
    signature = inspect.signature(getattr(Node, ray_command._API_SERVER))
    for wanted in (False, None, True):
        call = signature.bind(node, include_dashboard=wanted, raise_on_failure=False)
        start(*call.args, **call.kwargs)
    assert started == [{"include_dashboard": True, "raise_on_failure": False}]
    assert not inspect.signature(getattr(scripts, ray_command._WHY_NO_CLIENT)).parameters


def test_metrics_listen_at_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus_exporter, "Options", prometheus_exporter.Options)
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(prometheus_client, "start_http_server", lambda *words, **_: asked.append(words))
    assert ray_metrics.node_address(["--node-id=1", "--node-ip-address=10.0.0.1", "--grpc-port=0"]) == "10.0.0.1"
    assert ray_metrics.node_address([]) == ""
    ray_metrics.listen_at("10.0.0.1")
    assert prometheus_exporter.Options(namespace="ray", port=0, address="").address == "10.0.0.1"
    assert prometheus_exporter.Options(namespace="ray", port=0, address="127.0.0.1").address == "127.0.0.1"
    prometheus_client.start_http_server(port=1, registry=None)
    prometheus_client.start_http_server(port=1, addr="127.0.0.1")
    assert asked == [(1, "10.0.0.1"), (1, "127.0.0.1")]
