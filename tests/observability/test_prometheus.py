"""A real Prometheus with the generated configuration, against the real cluster under load."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, RunningCluster
from tests.observability.prometheus import Prometheus, panels_without_data, running_prometheus
from tests.waiting import wait_for
from xinfer.client import RESTfulClient
from xinfer.errors import XinferError
from xinfer.monitoring.dashboards import CLUSTER, MODEL
from xinfer.monitoring.panels import Dashboard
from xinfer.monitoring.rules import rules_file

# Alerts fire some time after what goes wrong.
heavy = pytest.mark.heavy

FAKE = "watched"
FULL = "full-cache"
LONG = "The same long beginning of a prompt, again and again. " * 20
MODELS = (FAKE, FULL)


@dataclass
class Load:
    """Streams and whole responses, one after the other, until the block is left."""

    endpoint: str
    uids: tuple[str, ...]

    def __enter__(self) -> Load:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(uid,)) for uid in self.uids]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, uid: str) -> None:
        with RESTfulClient(self.endpoint, max_retries=0) as client:
            model = client.get_model(uid)
            messages = [{"role": "user", "content": f"{LONG[:400]} {uid}"}]
            while not self._stop.wait(0.1):
                with contextlib.suppress(XinferError):
                    for _ in model.chat(messages, generate_config={"stream": True, "max_tokens": 8}):
                        pass
                    model.chat(messages, generate_config={"max_tokens": 2})


@pytest.fixture(scope="module")
def prometheus(
    cluster: RunningCluster, tiny_chat: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """It scrapes a cluster with ``tiny-chat`` and two fake models, which get requests all the time."""
    folder = tmp_path_factory.mktemp("prometheus")
    config = cluster.run("metrics", "config", "--interval", "1").stdout
    (folder / "prometheus.yml").write_text(config)
    (folder / "rules.yml").write_text(rules_at_once())
    with RESTfulClient(cluster.endpoint) as client, contextlib.ExitStack() as stack:
        launch(client, FAKE, replica=2, gap_s=0.01)
        launch(client, FULL, kv_cache_usage=0.99)
        stack.callback(terminate, client)
        stack.enter_context(Load(cluster.endpoint, (FAKE, FULL, tiny_chat)))
        yield stack.enter_context(running_prometheus(folder / "prometheus.yml", folder))


def launch(client: RESTfulClient, uid: str, **options: object) -> None:
    path = str(ROOT / "xinfer" / "tiny_chat" / "model")
    wait_ready = bool(options.pop("wait_ready", True))
    client.launch_model(
        "fake", model_engine="fake", model_uid=uid, n_gpu=None, wait_ready=wait_ready, model_path=path, **options
    )


def terminate(client: RESTfulClient) -> None:
    for uid in MODELS:
        client.terminate_model(uid)


def rules_at_once() -> str:
    """The rules without the minutes for which their conditions have to hold."""
    rules = yaml.safe_load(rules_file())
    for rule in rules["groups"][0]["rules"]:
        rule["for"] = "0s"
    return yaml.safe_dump(rules)


def test_every_target_is_up(prometheus: Prometheus, tiny_chat: str) -> None:
    jobs = {"xinfer-supervisor", "xinfer-engine", "xinfer-haproxy", "xinfer-ray"}
    ours = (FAKE, FULL, tiny_chat)

    def all_up() -> bool:
        targets = prometheus.targets()
        return targets.keys() == jobs and all(each["health"] == "up" for found in targets.values() for each in found)

    wait_for(all_up, 60, "every target up")
    labels = [target["labels"] for target in prometheus.targets()["xinfer-engine"]]
    labels = [each for each in labels if each["model"] in ours]
    assert sorted(each["model"] for each in labels) == sorted([FAKE, FAKE, FULL, tiny_chat])
    assert len({each["replica"] for each in labels}) == 4
    assert all(each["node"] for each in labels)


@pytest.mark.parametrize("dashboard", [CLUSTER, MODEL], ids=lambda each: each.uid)
def test_every_panel_has_data(prometheus: Prometheus, dashboard: Dashboard) -> None:
    """That of tenants needs a cluster with keys: ``tests/security/test_open_cluster.py``."""
    assert panels_without_data(prometheus, dashboard) == []


def test_engines_keep_their_names_and_say_where_they_are(prometheus: Prometheus, tiny_chat: str) -> None:
    wait_for(lambda: prometheus.query(f'vllm:generation_tokens_total{{model="{tiny_chat}"}} > 0'), 60, "tokens")
    ((labels, _),) = prometheus.query(f'vllm:generation_tokens_total{{model="{tiny_chat}"}}')
    assert labels["job"] == "xinfer-engine"
    assert labels["node"]
    ((replica, _),) = prometheus.query(f'xinfer_replica_requests_in_flight{{model="{tiny_chat}"}}')
    assert (replica["replica"], replica["node"]) == (labels["replica"], labels["node"])


def test_supervisor_counts_what_clients_get(prometheus: Prometheus) -> None:
    chosen = f'xinfer_routing_decisions_total{{model="{FAKE}",reason="prefix"}} > 0'
    known = f'xinfer_prompt_blocks_known_total{{model="{FAKE}"}} > 0'
    between = f'xinfer_inter_token_latency_seconds_sum{{model="{FAKE}"}}'
    count = f'xinfer_inter_token_latency_seconds_count{{model="{FAKE}"}}'
    for expr in (chosen, known, f"{count} > 20"):
        wait_for(lambda expr=expr: prometheus.query(expr), 60, expr)
    ((_, mean),) = prometheus.query(f"{between} / {count}")
    assert 0.005 < mean < 1, "the fake engine makes a token every 10 ms"


def test_top_shows_what_runs(prometheus: Prometheus, cluster: RunningCluster, tiny_chat: str) -> None:
    """Under the load of this module; engines are reached from here."""
    lines = cluster.run("top", "--once", "--interval", "2").stdout.splitlines()
    (row,) = (line.split() for line in lines if line.startswith(f"{tiny_chat} "))
    assert row[1:3] == ["ready", "1/1"]
    assert float(row[6]) > 0, "tokens per second"
    assert any(line.startswith("127.0.0.1 ") for line in lines), lines


@heavy
def test_alerts_fire_for_what_goes_wrong(prometheus: Prometheus, cluster: RunningCluster, tmp_path: Path) -> None:
    """A launch that fails, an engine that says its cache is full, and replicas that die under load."""
    with RESTfulClient(cluster.endpoint) as client:
        launch(client, "misbegotten", start_error="CUDA out of memory", wait_ready=False)
        model = client.get_model(FAKE)
        wait_for(lambda: prometheus.query(f'xinfer_replica_ends_total{{model="{FAKE}"}}'), 30, "a first scrape")
        for _ in range(2):
            with contextlib.suppress(XinferError):
                model.chat([{"role": "user", "content": "!exit"}])
        expected = {
            ("XinferModelFailed", "misbegotten"),
            ("XinferKvCacheFull", FULL),
            ("XinferReplicasCrash", FAKE),
            ("XinferErrorBudgetBurnsFast", FAKE),
        }
        with contextlib.suppress(pytest.fail.Exception):
            wait_for(lambda: expected <= prometheus.firing(), 60, "the alerts")
        assert expected - prometheus.firing() == set()
        client.terminate_model("misbegotten")
