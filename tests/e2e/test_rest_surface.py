"""What the REST API has beside chats and launches: replicas taken away, events, versions, caches, figures, any request at all."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import requests
from schemathesis import Case

from tests import fuzz
from tests.conftest import RunningCluster
from tests.waiting import wait_for
from xinfer.client import RESTfulClient
from xinfer.errors import ModelNotFound, NotFound

# Ten seconds until Serve has taken a replica away.
heavy = pytest.mark.heavy


def ready(client: RESTfulClient, uid: str) -> list[str]:
    (instance,) = client.get_instance_info(None, uid)
    return [each["replica_uid"] for each in instance["replica_statuses"] if each["status"] == "READY"]


@heavy
def test_replicas_are_taken_away(client: RESTfulClient, launch_fake: Callable[..., str]) -> None:
    """The others go on; with the last one the model goes."""
    uid = launch_fake("shrinking", replica=2, tokens=2)
    before = ready(client, uid)
    with pytest.raises(NotFound, match="no replica 2"):
        client.terminate_model_replica(uid, 2)
    assert client.terminate_model_replica(uid, 0) == 1
    assert len(left := ready(client, uid)) == 1
    assert set(left) < set(before)
    assert client.describe_model(uid)["replica"] == 1
    assert client.terminate_model_replica(uid, 0) == 0
    with pytest.raises(ModelNotFound):
        client.describe_model(uid)


@heavy
def test_replica_on_its_way_up_is_taken_away(client: RESTfulClient, launch_fake: Callable[..., str]) -> None:
    uid = launch_fake("hesitating", start_s=3.0)
    client.add_model_replica(uid, wait_ready=False)
    wait_for(lambda: len(client.get_instance_info(None, uid)[0]["replica_statuses"]) == 2, 20, "the second replica")
    assert client.terminate_model_replica(uid, 1) == 1
    wait_for(lambda: len(client.get_instance_info(None, uid)[0]["replica_statuses"]) == 1, 20, "its end")
    assert len(ready(client, uid)) == 1
    assert client.get_launch_model_progress(uid)["stage"] == "ready"


def test_events(client: RESTfulClient, launch_fake: Callable[..., str]) -> None:
    uid = launch_fake("eventful", tokens=2)
    client.add_model_replica(uid)
    client.terminate_model(uid)
    events = client.get_model_events(uid)
    assert [set(event) for event in events] == [{"event_type", "event_ts", "event_content"}] * len(events)
    assert {type(event["event_ts"]) for event in events} == {int}
    told = [event["event_content"] for event in events]
    for sentence in ("Launch of fake asked for: 1 replica.", "Ready: it answers.", "Scaled from 1 to 2 replicas."):
        assert sentence in told, told
    assert sum(": ready on" in sentence for sentence in told) == 2
    assert told[-1] == "Terminated."
    with pytest.raises(ModelNotFound):
        client.get_model_events("never-was")


def test_failed_launch_says_why_in_its_events(client: RESTfulClient, launch_fake: Callable[..., str]) -> None:
    with pytest.raises(RuntimeError):
        launch_fake("unlucky", start_error="RuntimeError: out of luck")
    assert any(event["event_type"] == "ERROR" for event in client.get_model_events("unlucky"))


def test_launch_by_version(cluster: RunningCluster, client: RESTfulClient) -> None:
    versions = requests.get(f"{cluster.endpoint}/v1/models/LLM/tiny-chat/versions", timeout=10).json()
    body = {"model_version": versions[0]["model_version"], "model_uid": "by-version", "model_engine": "fake"}
    try:
        answer = requests.post(f"{cluster.endpoint}/v1/models/instance", json={**body, "n_gpu": None}, timeout=60)
        assert answer.json()["model_uid"] == "by-version"
        assert client.describe_model("by-version")["model_name"] == "tiny-chat"
    finally:
        client.terminate_model("by-version")
    body["model_version"] = "tiny-chat"
    assert requests.post(f"{cluster.endpoint}/v1/models/instance", json=body, timeout=10).status_code == 400


def test_caches_are_asked_for_on_the_nodes(client: RESTfulClient) -> None:
    assert all(model["size_bytes"] >= 0 for model in client.list_cached_models())
    assert client.list_cached_models("no-such-family") == []
    assert client.list_deletable_models("no-such-version")["paths"] == []
    with pytest.raises(NotFound):
        client.confirm_and_remove_model("no-such-version")
    with pytest.raises(RuntimeError, match="No node"):
        client.list_cached_models(worker_ip="10.9.9.9")


def test_nodes_in_detail(client: RESTfulClient) -> None:
    head, worker = client.cluster_info(detailed=True)
    assert (head["node_type"], worker["node_type"]) == ("Supervisor", "Worker")
    assert 0 < worker["mem_used"] < worker["mem_total"]
    assert 0 <= worker["cpu_available"] <= worker["cpu_count"]
    assert worker["software_version"]
    assert "mem_used" not in client.cluster_info()[0]


def figure(cluster: RunningCluster, name: str, uid: str) -> float:
    text = requests.get(f"{cluster.endpoint}/metrics", timeout=10).text
    found = re.search(rf'^xinference:{name}{{[^}}]*model_uid="{uid}"[^}}]*}} (\S+)$', text, re.MULTILINE)
    assert found, f"{name} of {uid} is not in\n{text}"
    return float(found[1])


def test_metrics(cluster: RunningCluster, launch_fake: Callable[..., str]) -> None:
    uid = launch_fake("counted", tokens=2)
    for body in ({"prompt": "Hi"}, {"prompt": "Hi", "stream": True}, {"prompt": ""}):
        requests.post(f"{cluster.endpoint}/v1/completions", json={"model": uid, **body}, timeout=10)
    assert figure(cluster, "model_request_total", uid) == 2
    assert figure(cluster, "model_request_errors_total", uid) == 0
    assert figure(cluster, "model_serve_count", uid) == 0
    assert figure(cluster, "model_request_duration_seconds_count", uid) == 2
    assert figure(cluster, "model_last_load_duration_seconds", uid) > 0
    targets = requests.get(f"{cluster.endpoint}/metrics/engines", timeout=10).json()
    (engine,) = [each for each in targets if each["labels"]["model_uid"] == uid]
    assert requests.get(f"http://{engine['targets'][0]}/fake/state", timeout=5).json()["served"] >= 2


SCHEMA = fuzz.requests_of(
    ("DELETE", "/v1/clusters"),  # other tests need it
    ("POST", "/v1/cluster/drain"),
    ("POST", "/v1/models"),  # test_launches and test_bad_input have them
    ("POST", "/v1/models/instance"),
    ("DELETE", "/v1/models/{uid}"),
    ("DELETE", "/v1/models/{uid}/replicas/{replica_id}"),
    ("POST", "/v1/models/{uid}/replicas"),
    ("POST", "/v1/models/{uid}/sleep"),
    ("DELETE", "/v1/cache/models"),
    ("GET", "/v1/events"),  # it has no end
    uid=("tiny-chat", "tiny-chat", "tiny-chat"),
    type=("LLM", "LLM", "LLM"),
    name=("tiny-chat", "tiny-chat", "none"),
)


@pytest.mark.engine
@SCHEMA.parametrize()
@fuzz.some(2)
def test_any_request(case: Case, cluster: RunningCluster, tiny_chat: str) -> None:
    fuzz.check(case, cluster.endpoint)
