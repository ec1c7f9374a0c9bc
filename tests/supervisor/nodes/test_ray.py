"""What xinfer changes of Ray: where its services listen."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import prometheus_client
import pytest
from ray._private import prometheus_exporter, ray_constants, services
from ray._private.node import Node
from ray.scripts import scripts

from supervisor.nodes import ray_command, ray_metrics
from supervisor.nodes.ray_addresses import keep_loopback
from supervisor.nodes.ray_workers import stub


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


def test_ray_has_what_is_replaced() -> None:
    """Names that are missing from another version of Ray would show here."""
    assert list(inspect.signature(services.get_node).parameters) == ["gcs_address", "node_id"]
    assert services._site_flags() == []
    assert "worker_path" in inspect.getsource(Node.start_raylet)
    source = inspect.getsource(scripts)
    for name in ray_command._OTHER_COMMANDS:
        assert f"from {name} import" in source


def test_other_commands_are_not_imported() -> None:
    program = f"""
import sys
from supervisor.nodes import ray_command
with ray_command.without(ray_command._OTHER_COMMANDS):
    from ray.scripts import scripts
print(sorted(scripts.cli.commands), [name for name in {ray_command._OTHER_COMMANDS} if name in sys.modules])
import ray.serve.scripts
"""
    found = subprocess.check_output([sys.executable, "-W", "ignore", "-c", program], text=True)
    assert "'start'" in found
    assert "'serve'" not in found
    assert found.strip().endswith("[]")


def test_node_is_looked_for_until_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's own way to get it, which waits a second, finds it at once."""
    tables = [[], [{"NodeID": "b"}], [{"NodeID": "b"}, {"NodeID": "a"}]]

    class State:
        def _initialize_global_state(self, options: str) -> None:
            assert options == "options of gcs:1"

        def node_table(self) -> list[dict[str, str]]:
            return tables.pop(0)

    monkeypatch.setattr(ray_command, "GlobalState", State)
    monkeypatch.setattr(services, "_get_gcs_client_options", lambda address: f"options of {address}")
    get = ray_command.with_frequent_looks(lambda address, node: (address, node, len(tables)))
    assert get("gcs:1", "a") == ("gcs:1", "a", 0)


def test_raylet_runs_the_stub(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (stub.SCRIPT, stub.SOCKET):
        monkeypatch.setenv(name, "")
    started: list[str] = []
    node = SimpleNamespace(_ray_params=SimpleNamespace(worker_path="default_worker.py"))
    start = ray_command.with_workers_forked(
        lambda node, *_: started.append(node._ray_params.worker_path), Path("w.sock")
    )
    start(node, "stdout")
    assert started == [stub.__file__]
    assert (os.environ[stub.SCRIPT], os.environ[stub.SOCKET]) == ("default_worker.py", "w.sock")
