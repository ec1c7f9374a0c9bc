"""The head's machine is lost, under streams of another node's engine, and a new head takes the cluster over."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import ROOT, RunningCluster
from tests.faults.engines import chat, ready
from tests.joined_node import JoinedNode
from tests.waiting import wait_for
from xinfer.api_key import engine_secret
from xinfer.client import RESTfulClient
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.environment import token_file
from xinfer.cluster.head_state import HeadState
from xinfer.cluster.lifecycle import NodeLifecycle
from xinfer.cluster.options import LOOPBACK_NODE, StartOptions
from xinfer.cluster.ports import free_port, is_free
from xinfer.cluster.processes import of_cluster
from xinfer.errors import Conflict
from xinfer.wire.paths import ENGINE_SECRET

FOLDER = str(ROOT / "xinfer" / "tiny_chat" / "model")
UID = "on-both"


@pytest.fixture
def options() -> StartOptions:
    # Not one that connections get for themselves: the node's, which seek the head, would in time connect to themselves.
    ray_port = next(port for port in range(20_000, 30_000) if is_free(LOOPBACK_NODE, port))
    return StartOptions(
        port=free_port("127.0.0.1"),
        ray_port=ray_port,
        num_gpus=1,
        warm_host=False,
        head_recovery=True,
        allow_fake_engine=True,
    )


def lose(head: NodeLifecycle) -> None:
    record = ClusterRecord.load(head.home)
    assert record
    for process in of_cluster(record.id):
        process.kill()
    wait_for(lambda: not of_cluster(record.id), 10, "the end of the head")
    assert head.node
    head.node.reap()


def engines(client: RESTfulClient) -> dict[str, str]:
    """The addresses of the engines that take requests, by their nodes; none while the model is not in the list."""
    if not client.get_instance_info(None, UID):
        return {}
    return {replica["worker_address"]: replica["model_address"] for replica in ready(client, UID)}


@pytest.fixture
def cluster_of_two(options: StartOptions) -> Iterator[RunningCluster]:
    """A head that keeps Ray's state, and a node that has joined; one replica of a fake engine on each."""
    with tempfile.TemporaryDirectory(prefix="xi-", dir="/tmp") as folder:
        head = NodeLifecycle(Path(folder))
        nodes: list[JoinedNode] = []
        try:
            list(head.start(options))
            nodes.append(JoinedNode(head.home))
            nodes[0].join()
            with RESTfulClient(options.endpoint) as client:
                client.launch_model(
                    "fake",
                    model_engine="fake",
                    model_uid=UID,
                    model_path=FOLDER,
                    replica=2,
                    n_gpu=1,
                    gap_s=0.1,
                    wait_ready=True,
                )
            yield RunningCluster(options.endpoint, head.home, head)
        finally:
            for node in nodes:
                node.leave()
            head.stop()


# On demand: Ray calls this storage alpha, and what a restarted GCS does first differs from run to run.
@pytest.mark.soak
def test_head_lost(cluster_of_two: RunningCluster, options: StartOptions, figures: list[str]) -> None:
    """Another node's engine goes on and is taken over; what ran on the head comes back with it."""
    cluster, head = cluster_of_two, cluster_of_two.lifecycle
    with RESTfulClient(cluster.endpoint) as client, ThreadPoolExecutor(1) as pool:
        before = engines(client)
        assert len(before) == 2
        (far,) = [address for node, address in before.items() if node != options.node_address]
        begun = threading.Event()
        # No supervisor of this cluster is on the other node, since the REST API is on loopback.
        direct = RunningCluster(far, cluster.home, head)
        # With a node that has joined, engines take requests of their cluster only.
        secret = engine_secret(token_file(cluster.home).read_text().strip())
        stream = pool.submit(chat, direct, UID, max_tokens=200, begun=begun, headers={ENGINE_SECRET: secret})
        assert begun.wait(10)
        # A new Serve controller keeps replicas of which the old one had seen the start; it looks several times a second.
        time.sleep(2)

        lose(head)
        lost_at = time.monotonic()
        with pytest.raises(Conflict, match="look for its head at"):
            list(head.start(replace(options, ray_port=options.ray_port + 1)))
        assert "taking over from the head that was lost" in list(head.start(options))
        figures.append(f"head lost: another one served after {time.monotonic() - lost_at:.0f} s")

        wait_for(lambda: len(engines(client)) == 2, 60, "both replicas")
        assert far in engines(client).values()
        after = chat(cluster, UID, max_tokens=2)
        assert after.end == "done", after
        ended = stream.result(60)
        assert (ended.end, ended.tokens >= 200) == ("done", True)


def test_after_a_stop_nothing_is_taken_over(tmp_path: Path) -> None:
    """``stop`` gives the cluster up, and so does a start without the option."""
    state = HeadState(tmp_path)
    state.keep("127.0.0.2:6379")
    assert HeadState(tmp_path).ray_address == "127.0.0.2:6379"
    assert NodeLifecycle(tmp_path).stop() is False
    assert state.ray_address is None
