"""Two more nodes on this machine, at other loopback addresses, for the cluster that all tests share."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import RunningCluster
from tests.faults.engines import chat
from tests.joined_node import JoinedNode
from tests.waiting import wait_for
from xinfer.client import RESTfulClient

ADDRESSES = ("127.0.0.3", "127.0.0.4")


@pytest.fixture(scope="module")
def joined(cluster: RunningCluster) -> Iterator[list[JoinedNode]]:
    """Both have the label ``pool=more``, and each one of its own, ``rack=`` and the last number of its address.

    Each has a cache of its own for the hub's files, as machines have.
    """
    nodes: list[JoinedNode] = []
    for address in ADDRESSES:
        labels = {"pool": "more", "rack": address[-1]}
        nodes.append(JoinedNode(cluster.home, address, num_gpus=2, labels=labels))
    try:
        for node in nodes:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("HF_HOME", str(node.home / "hub"))
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


def stream(pool: ThreadPoolExecutor, cluster: RunningCluster, uid: str, tokens: int) -> Any:
    """A stream that has begun, as a future."""
    begun = threading.Event()
    running = pool.submit(chat, cluster, uid, max_tokens=tokens, begun=begun)
    assert begun.wait(10)
    return running
