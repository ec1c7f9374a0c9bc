"""More replicas of a model that runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.conftest import RunningCluster
from tests.waiting import wait_for
from xinfer.client import AsyncRESTfulClient, RESTfulClient
from xinfer.errors import Conflict, LaunchRefused, ModelNotFound


def ready(client: RESTfulClient, uid: str) -> list[str]:
    """UIDs of the replicas that take requests."""
    (instance,) = client.get_instance_info(None, uid)
    return [each["replica_uid"] for each in instance["replica_statuses"] if each["status"] == "READY"]


def test_one_more(client: RESTfulClient, launch_fake: Callable[..., str]) -> None:
    """It answers when the new one does; the first goes on as it was."""
    uid = launch_fake("growing", tokens=2)
    (first,) = ready(client, uid)
    added = client.add_model_replica(uid)
    assert (added["replica_id"], added["replica_model_uid"]) == (1, "growing-rep1")
    assert added["worker_address"]
    assert first in ready(client, uid)
    assert len(ready(client, uid)) == 2
    assert client.describe_model(uid)["replica"] == 2
    assert client.get_launch_model_progress(uid)["stage"] == "ready"
    logs = client.get_model_log(uid, lines=1)["replicas"]
    assert {each["replica_uid"] for each in logs} == set(ready(client, uid))


async def test_several_more(client: RESTfulClient, cluster: RunningCluster, launch_fake: Callable[..., str]) -> None:
    uid = launch_fake("growing-fast", tokens=2)
    async with AsyncRESTfulClient(cluster.endpoint) as own:
        added = await own.add_model_replica(uid, replica=2)
    assert added["replica"] == 2
    assert [each["replica_id"] for each in added["replicas"]] == [1, 2]
    assert len(ready(client, uid)) == 3


def test_without_waiting(client: RESTfulClient, launch_fake: Callable[..., str]) -> None:
    uid = launch_fake("growing-later", start_s=1.0)
    added = client.add_model_replica(uid, wait_ready=False)
    assert added["replica_model_uid"] == "growing-later-rep1"
    assert len(ready(client, uid)) == 1
    wait_for(lambda: len(ready(client, uid)) == 2, 30, "the second replica")


def test_both_answer(cluster: RunningCluster, client: RESTfulClient, launch_fake: Callable[..., str]) -> None:
    uid = launch_fake("growing-useful", tokens=2)
    client.add_model_replica(uid)
    for _ in range(20):
        body: dict[str, Any] = {"model": uid, "prompt": "Hi"}
        assert requests.post(f"{cluster.endpoint}/v1/completions", json=body, timeout=10).status_code == 200
    (instance,) = client.get_instance_info(None, uid)
    addresses = [each["model_address"] for each in instance["replica_statuses"]]
    served = [requests.get(f"{address}/fake/state", timeout=5).json()["served"] for address in addresses]
    assert sum(served) == 20 + len(served), "each has answered once before it was ready"


def test_no_room(client: RESTfulClient, launch_fake: Callable[..., str]) -> None:
    uid = launch_fake("growing-tight", n_gpu=1)
    with pytest.raises(LaunchRefused, match="GPU"):
        client.add_model_replica(uid, replica=2)
    assert client.describe_model(uid)["replica"] == 1
    client.add_model_replica(uid)
    assert len(ready(client, uid)) == 2


def test_only_of_what_is_up(client: RESTfulClient, launch_fake: Callable[..., str]) -> None:
    uid = launch_fake("growing-young", start_s=20, wait_ready=False)
    with pytest.raises(Conflict):
        client.add_model_replica(uid)
    with pytest.raises(ModelNotFound):
        client.add_model_replica("nobody")
