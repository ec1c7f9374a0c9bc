"""How long launches on several nodes take, as a node is when nothing else was said: with its fork server and spare processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from statistics import median

import pytest

from tests.conftest import RunningCluster
from tests.joined_node import JoinedNode
from tests.nodes.conftest import ADDRESSES, places
from tests.waiting import wait_for
from xinfer.client import RESTfulClient

# Two more fork servers import vLLM for ten seconds each, for a figure.
pytestmark = pytest.mark.heavy
ROUNDS = 3
FIRST, SECOND = ADDRESSES


@pytest.fixture(scope="module")
def joined(cluster: RunningCluster) -> Iterator[None]:
    nodes = [JoinedNode(cluster.home, each, num_gpus=2, labels={"pool": "warm"}, warm_host=True) for each in ADDRESSES]
    try:
        for node in nodes:
            node.join()
        with RESTfulClient(cluster.endpoint) as client:
            wait_for(lambda: [each["warm_host"] for each in client.list_nodes()] == ["ready"] * 3, 120, "fork servers")
        yield
    finally:
        for node in nodes:
            node.leave()


def test_four_replicas_on_two_nodes_beside_one_on_one(
    client: RESTfulClient, joined: None, launch_fake: Callable[..., str], figures: list[str]
) -> None:
    took: dict[int, list[float]] = {1: [], 4: []}
    for turn in range(ROUNDS):
        for replicas in took:
            # What a launch leaves for the next one, spare processes above all, is there again.
            time.sleep(5)
            began = time.monotonic()
            uid = launch_fake(f"{replicas}-in-turn-{turn}", replica=replicas, n_gpu=1, node_labels={"pool": "warm"})
            took[replicas].append(time.monotonic() - began)
            if replicas == 4:
                assert places(client, uid) == [FIRST, FIRST, SECOND, SECOND]
            client.terminate_model(uid)
    one_s, four_s = (median(each) for each in took.values())
    figures.append(f"launch: one replica {one_s:.1f} s, four on two nodes {four_s:.1f} s, {four_s / one_s:.2f} times")
    assert four_s < 3 * one_s
