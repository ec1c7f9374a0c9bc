"""A cluster of three nodes: what they report, where launches go, and how nodes are drained, leave and are lost."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import ROOT, RunningCluster
from tests.faults.engines import Ended, chat
from tests.hub import Hub, serving
from tests.joined_node import JoinedNode
from tests.nodes.conftest import ADDRESSES, node_at, places, stream
from tests.waiting import wait_for
from xinfer.client import RESTfulClient
from xinfer.errors import Conflict, LaunchRefused

# A node that leaves and comes back takes twenty seconds.
heavy = pytest.mark.heavy

Launch = Callable[..., str]
HEAD = "127.0.0.1"
MODEL = ROOT / "xinfer" / "tiny_chat" / "model"
FIRST, SECOND = ADDRESSES


def test_what_they_report(cluster: RunningCluster, client: RESTfulClient, joined: list[JoinedNode]) -> None:
    found = client.list_nodes()
    assert [(node["address"], node["head"], node["state"]) for node in found] == [
        (HEAD, True, "READY"),
        (FIRST, False, "READY"),
        (SECOND, False, "READY"),
    ]
    assert [node["labels"] for node in found] == [{}, {"pool": "more", "rack": "3"}, {"pool": "more", "rack": "4"}]
    assert [node["warm_host"] for node in found] == ["ready", "off", "off"]
    for node in found:
        assert node["num_gpus"] == 2
        assert 0 < node["memory"]["available"] < node["memory"]["total"]
        assert 0 < node["disk"]["free"] <= node["disk"]["total"]
        assert node["age_s"] < 15
    shown = cluster.run("nodes").stdout.splitlines()
    assert [FIRST in line and "pool=more,rack=3" in line for line in shown] == [False, False, True, False]
    assert json.loads(cluster.run("nodes", "--json").stdout)[1]["address"] == FIRST


@pytest.mark.parametrize("gpus", [1, None])
def test_replicas_spread(
    client: RESTfulClient, joined: list[JoinedNode], launch_fake: Launch, gpus: int | None
) -> None:
    """Never two on one node while another is free, with GPUs or without."""
    uid = launch_fake("spread", replica=3, n_gpu=gpus)
    assert places(client, uid) == [HEAD, FIRST, SECOND]


def test_packed_replicas_share_a_node(client: RESTfulClient, joined: list[JoinedNode], launch_fake: Launch) -> None:
    (there,) = set(places(client, launch_fake("packed", replica=2, n_gpu=1, node_labels={"pool": "more"}, pack=True)))
    assert there in ADDRESSES


def test_launch_on_labels_and_on_an_address(
    client: RESTfulClient, joined: list[JoinedNode], launch_fake: Launch
) -> None:
    assert places(client, launch_fake("on-a-rack", replica=2, n_gpu=1, node_labels={"rack": "3"})) == [FIRST] * 2
    assert places(client, launch_fake("on-a-node", n_gpu=None, worker_ip=f"{SECOND}:30001")) == [SECOND]


@heavy
def test_files_are_there_before_a_second_replica(client: RESTfulClient, joined: list[JoinedNode]) -> None:
    """The nodes have caches of their own; the one without a replica gets the files as well, once the first one is up."""
    with serving(Hub(MODEL)) as hub:
        uid = client.launch_model(
            "qwen3",
            model_uid="prewarmed",
            model_engine="fake",
            model_size_in_billions=0.6,
            n_gpu=1,
            envs={"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0"},
            node_labels={"pool": "more"},
            autoscaling_config={"max_replicas": 2},
            wait_ready=True,
        )
        try:
            (place,) = places(client, uid)
            other = FIRST if place == SECOND else SECOND

            def told() -> bool:
                events = [event["event_content"] for event in client.get_model_events(uid)]
                return any(text.startswith(f"Node {other} has the model's files now") for text in events)

            wait_for(told, 30, "the files on the other node")
            fetched = len(hub.files_fetched)
            client.scale_model(uid, 2)
            wait_for(lambda: places(client, uid) == [FIRST, SECOND], 30, "the second replica")
            assert len(hub.files_fetched) == fetched
        finally:
            client.terminate_model(uid)


def test_what_cannot_be_placed_says_what_there_is(
    client: RESTfulClient, joined: list[JoinedNode], launch_fake: Launch
) -> None:
    with pytest.raises(LaunchRefused, match="rack=9"):
        launch_fake("no-such-rack", node_labels={"rack": "9"})
    with pytest.raises(LaunchRefused, match=r"127\.0\.0\.9.*127\.0\.0\.3"):
        launch_fake("no-such-node", worker_ip="127.0.0.9")
    with pytest.raises(LaunchRefused, match=r"3 GPUs are asked for.* nodes that it may run on have 2, 2 of them free"):
        launch_fake("too-many", replica=3, n_gpu=1, node_labels={"rack": "3"})
    assert launch_fake("as-many", replica=2, n_gpu=1, node_labels={"rack": "3"})
    with pytest.raises(LaunchRefused, match="0 of them free"):
        launch_fake("one-more", n_gpu=1, worker_ip=FIRST)


@heavy
def test_launch_that_waits_for_room(client: RESTfulClient, joined: list[JoinedNode], launch_fake: Launch) -> None:
    """What it waits for is shown, others are not kept from what is there, and it comes up by itself."""
    first = launch_fake("has-no-need-to-wait", n_gpu=2, node_labels={"rack": "3"}, wait_for_capacity=True)
    waits = launch_fake("waits", n_gpu=2, node_labels={"rack": "3"}, wait_for_capacity=True, wait_ready=False)
    (instance,) = client.get_instance_info(None, waits)
    asked = "1 replica, waiting for 2 GPUs on one node (rack=3), which Ray's autoscaler is asked for; "
    assert (instance["state"], instance["reason"][: len(asked)]) == ("PENDING", asked)
    assert places(client, launch_fake("has-room", replica=2, n_gpu=1, node_labels={"rack": "4"})) == [SECOND] * 2
    client.terminate_model(first)
    wait_for(lambda: client.get_launch_model_progress(waits)["stage"] == "ready", what="the launch that has waited")
    assert places(client, waits) == [FIRST]


@heavy
def test_drain_moves_replicas_without_breaking_a_stream(
    cluster: RunningCluster, client: RESTfulClient, joined: list[JoinedNode], launch_fake: Launch
) -> None:
    """The new one is there first; what the old one has begun, it ends."""
    uid = launch_fake("moves", n_gpu=1, node_labels={"pool": "more"}, gap_s=0.1)
    (before,) = places(client, uid)
    (after,) = {FIRST, SECOND} - {before}
    statuses: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            statuses.append(chat(cluster, uid, stream=False, max_tokens=1).status)

    with ThreadPoolExecutor(2) as pool:
        running = stream(pool, cluster, uid, 200)
        asking = pool.submit(ask)
        try:
            drained = json.loads(cluster.run("nodes", "drain", before, "--json").stdout)
            assert (drained["state"], drained["replicas"]) == ("DRAINED", [])
            assert places(client, uid) == [after]
            ended: Ended = running.result()
        finally:
            stop.set()
        asking.result()
    assert (ended.end, ended.tokens >= 200) == ("done", True)
    assert set(statuses) == {200}

    old = node_at(client, before)
    assert old
    with pytest.raises(LaunchRefused, match="have 2, 1 of them free"):
        launch_fake("nothing-goes-there", replica=2, n_gpu=1, node_labels={"pool": "more"})

    cluster.run("nodes", "undrain", before)
    new = wait_for(lambda: _another(client, before, old["id"]), 40, "the node as a new one")
    assert new["state"] == "READY"
    assert new["labels"] == old["labels"]
    assert places(client, launch_fake("there-again", n_gpu=1, worker_ip=before)) == [before]


def _another(client: RESTfulClient, address: str, old_id: str) -> dict[str, Any] | None:
    node = node_at(client, address)
    return node if node and node["id"] != old_id else None


def test_head_is_not_drained(client: RESTfulClient, joined: list[JoinedNode]) -> None:
    with pytest.raises(Conflict, match="head"):
        client.drain_node(HEAD)


@heavy
def test_node_that_leaves_is_left_first(
    cluster: RunningCluster, client: RESTfulClient, joined: list[JoinedNode], launch_fake: Launch
) -> None:
    """``xinfer stop`` on it: no stream breaks and nothing is refused."""
    uid = launch_fake("leaves", n_gpu=1, node_labels={"pool": "more"}, gap_s=0.1)
    (before,) = places(client, uid)
    node = joined[ADDRESSES.index(before)]
    with ThreadPoolExecutor(1) as pool:
        running = stream(pool, cluster, uid, 40)
        node.drain(30)
        assert places(client, uid) == list({FIRST, SECOND} - {before})
        assert running.result().end == "done"
    node.join()
    wait_for(lambda: (found := node_at(client, before)) and found["state"] == "READY", 20, "the node's return")


def test_lost_node(
    cluster: RunningCluster, client: RESTfulClient, joined: list[JoinedNode], launch_fake: Launch, figures: list[str]
) -> None:
    """What had not begun there goes on elsewhere; the replica is replaced on a node that lives."""
    uid = launch_fake("survives", replica=2, n_gpu=1, node_labels={"pool": "more"})
    assert places(client, uid) == [FIRST, SECOND]
    joined[0].kill()
    killed_at = time.monotonic()
    statuses: list[int] = []
    slowest_s = 0.0
    while places(client, uid) != [SECOND, SECOND]:
        assert time.monotonic() - killed_at < 40
        began = time.monotonic()
        statuses.append(chat(cluster, uid, stream=False, max_tokens=1).status)
        slowest_s = max(slowest_s, time.monotonic() - began)
    figures.append(f"node lost: the replica is replaced after {time.monotonic() - killed_at:.1f} s")
    figures.append(f"node lost: the slowest of {len(statuses)} requests meanwhile took {slowest_s:.2f} s")
    assert set(statuses) == {200}
    assert slowest_s < 5
    joined[0].join()
    wait_for(lambda: node_at(client, FIRST), 20, "the node's return")
