"""Two more nodes on this machine, at other loopback addresses, for the cluster that all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import RunningCluster
from tests.joined_node import JoinedNode
from tests.waiting import wait_for
from xinfer.client import RESTfulClient

ADDRESSES = ("127.0.0.3", "127.0.0.4")


@pytest.fixture(scope="module")
def joined(cluster: RunningCluster) -> Iterator[list[JoinedNode]]:
    """Both have the label ``pool=more``, and each one of its own, ``rack=`` and the last number of its address."""
    nodes: list[JoinedNode] = []
    for address in ADDRESSES:
        labels = {"pool": "more", "rack": address[-1]}
        nodes.append(JoinedNode(cluster.home, address, num_gpus=2, labels=labels))
    try:
        for node in nodes:
            node.join()
        with RESTfulClient(cluster.endpoint) as client:
            wait_for(lambda: all(seen["age_s"] is not None for seen in client.list_nodes()), 30, "reports of all nodes")
        yield nodes
    finally:
        for node in nodes:
            node.leave()


def node_at(client: RESTfulClient, address: str) -> dict[str, Any] | None:
    """The living node at this address."""
    return next((node for node in client.list_nodes() if node["address"] == address), None)


def places(client: RESTfulClient, uid: str) -> list[str]:
    """The address of each replica that is ready."""
    (instance,) = client.get_instance_info(None, uid)
    return sorted(replica["worker_address"] for replica in instance["replica_statuses"] if replica["status"] == "READY")
