"""Three nodes that each answer requests: in network namespaces with links that can be cut, or at loopback addresses without."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import ROOT, RunningCluster
from tests.faults.engines import chat
from tests.namespaces import Host, Network, possible
from tests.nodes.conftest import node_at, places
from tests.shell import Shell
from tests.waiting import wait_for
from xinfer.client import RESTfulClient
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.environment import token_file
from xinfer.cluster.lifecycle import NodeLifecycle
from xinfer.cluster.options import StartOptions
from xinfer.cluster.ports import free_port
from xinfer.cluster.processes import command_line, of_cluster

# A cluster of its own of three nodes.
pytestmark = pytest.mark.heavy

LOOPBACK = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
UP_S = 30.0


@dataclass
class HostShell(Shell):
    """The command line of a machine that may be a namespace."""

    host: Host | None

    def argv(self, *words: str) -> list[str]:
        words_of_command = super().argv(*words)
        if self.host is None:
            return words_of_command
        return self.host.inside(words_of_command)


@dataclass(frozen=True)
class ThreeNodes(RunningCluster):
    """``addresses`` are those of the nodes, the head's first; ``others`` are the nodes that have joined."""

    addresses: tuple[str, ...]
    others: tuple[HostShell, ...]

    def at(self, address: str) -> RunningCluster:
        """The cluster as somebody sees it who uses one node's address."""
        port = self.endpoint.rpartition(":")[2]
        return RunningCluster(f"http://{address}:{port}", self.home, self.lifecycle)

    def processes(self, name: str) -> int:
        """So many of all nodes have this in their command."""
        found = 0
        for home in (self.home, *(shell.home for shell in self.others)):
            record = ClusterRecord.load(home)
            assert record
            found += sum(name in command_line(process) for process in of_cluster(record.id))
        return found


@pytest.fixture(scope="module")
def network() -> Iterator[Network | None]:
    if not possible():
        yield None
        return
    made = Network()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def nodes(network: Network | None) -> Iterator[ThreeNodes]:
    hosts = [network.add_host() for _ in range(2)] if network else [None, None]
    addresses = (network.address, *(host.address for host in network.hosts)) if network else LOOPBACK
    with (
        tempfile.TemporaryDirectory(prefix="xi-", dir="/tmp") as one,
        tempfile.TemporaryDirectory(prefix="xi-", dir="/tmp") as two,
        tempfile.TemporaryDirectory(prefix="xi-", dir="/tmp") as three,
    ):
        head = NodeLifecycle(Path(one))
        options = StartOptions(
            host=addresses[0],
            port=free_port(addresses[0]),
            node_ip=addresses[0],
            ray_port=free_port(addresses[0]),
            num_gpus=2,
            insecure=True,
            warm_host=False,
            allow_fake_engine=True,
            supervisors_per_node=1,
        )
        for _ in head.start(options):
            pass
        record = ClusterRecord.load(head.home)
        assert record
        token = token_file(head.home).read_text()
        homes = (Path(two), Path(three))
        others = tuple(HostShell(home, options.port, host) for home, host in zip(homes, hosts, strict=True))
        try:
            for shell, address in zip(others, addresses[1:], strict=True):
                words = ("--node-ip", address, "--num-gpus", "2", "--no-warm-host")
                joined = shell("start", "--join", record.ray_address, "--token", token, *words)
                assert joined.returncode == 0, joined.stderr
            yield ThreeNodes(options.endpoint, head.home, head, addresses, others)
        finally:
            for shell in others:
                shell("stop", "--drain-timeout", "0")
            head.stop()


@pytest.fixture
def client(nodes: ThreeNodes) -> Iterator[RESTfulClient]:
    """In place of the shared cluster's."""
    with RESTfulClient(nodes.endpoint) as client:
        yield client


@pytest.fixture
def launch(client: RESTfulClient) -> Iterator[Callable[..., str]]:
    uids: list[str] = []

    def begin(uid: str, **options: Any) -> str:
        folder = str(ROOT / "xinfer" / "tiny_chat" / "model")
        uids.append(uid)
        return client.launch_model("fake", model_engine="fake", model_uid=uid, model_path=folder, n_gpu=1, **options)

    yield begin
    for uid in uids:
        client.terminate_model(uid)


def is_served(cluster: RunningCluster) -> bool:
    try:
        return requests.get(f"{cluster.endpoint}/v1/models", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def test_every_node_answers_for_every_model(
    nodes: ThreeNodes, client: RESTfulClient, launch: Callable[..., str], figures: list[str]
) -> None:
    began = time.monotonic()
    for address in nodes.addresses:
        wait_for(lambda at=address: is_served(nodes.at(at)), UP_S, f"an answer at {address}")
    figures.append(f"ingress: every node answers {time.monotonic() - began:.1f} s after the last one has joined")
    uid = launch("everywhere", replica=3)
    assert places(client, uid) == sorted(nodes.addresses)
    for address in nodes.addresses:
        # The launch was waited for at the head; the others hear of it a moment later.
        wait_for(lambda at=address: chat(nodes.at(at), uid, stream=False, max_tokens=2).status == 200, 1, "an answer")
        listed = requests.get(f"{nodes.at(address).endpoint}/v1/models", timeout=10).json()
        assert [model["id"] for model in listed["data"]] == [uid]
    targets = f"{nodes.endpoint}/v1/metrics/targets"
    for component in ("supervisor", "haproxy"):
        found = requests.get(targets, {"component": component}, timeout=10).json()
        assert sorted(each["labels"]["node"] for each in found) == sorted(nodes.addresses)
        for each in found:
            path = each["labels"]["__metrics_path__"]
            assert requests.get(f"http://{each['targets'][0]}{path}", timeout=10).status_code == 200
    texts = [event["event_content"] for event in client.get_model_events(uid)]
    assert not [text for text in texts if "ended" in text], "Serve has taken every replica"


@pytest.mark.heavy  # the head takes twenty seconds to give a node up, and the node some more to come back
def test_link_that_is_cut_and_mended(
    nodes: ThreeNodes,
    network: Network | None,
    client: RESTfulClient,
    launch: Callable[..., str],
    figures: list[str],
) -> None:
    """Others answer without it within seconds; its replica is replaced; it joins again, and nothing is there twice."""
    if network is None:
        pytest.skip("network namespaces cannot be made here")
    head, near, far = nodes.addresses
    for address in nodes.addresses:
        wait_for(lambda at=address: is_served(nodes.at(at)), UP_S, f"an answer at {address}")
    uid = launch("cut", replica=3, gap_s=0.1)
    assert places(client, uid) == [head, near, far]
    before = {node["address"]: node["id"] for node in client.list_nodes()}
    asked: list[tuple[str, int, float]] = []
    stop = threading.Event()

    def ask(address: str) -> None:
        while not stop.is_set():
            began = time.monotonic()
            status = chat(nodes.at(address), uid, stream=False, max_tokens=1).status
            asked.append((address, status, time.monotonic() - began))

    with ThreadPoolExecutor(5) as pool, ExitStack() as at_the_end:
        at_the_end.callback(stop.set)
        streams = [pool.submit(chat, nodes.at(head), uid, max_tokens=400, prompt=letter * 300) for letter in "abc"]
        time.sleep(1)
        asking = [pool.submit(ask, address) for address in (head, near)]
        time.sleep(1)
        cut_at = time.monotonic()
        network.hosts[1].cut()
        try:
            wait_for(lambda: far not in places(client, uid), 20, "the replica's loss")
            figures.append(f"link cut: the replica behind it is left out after {time.monotonic() - cut_at:.1f} s")
            wait_for(lambda: node_at(client, far) is None, 60, "the node's loss")
            figures.append(f"link cut: the node is given up after {time.monotonic() - cut_at:.1f} s")
            wait_for(lambda: len(places(client, uid)) == 3, 60, "the replica's replacement")
            figures.append(f"link cut: the replica is replaced after {time.monotonic() - cut_at:.1f} s")
        finally:
            mended_at = time.monotonic()
            network.hosts[1].mend()
        wait_for(lambda: node_at(client, far), 90, "the node's return")
        figures.append(f"link mended: the node is back after {time.monotonic() - mended_at:.1f} s")
        wait_for(lambda: is_served(nodes.at(far)), UP_S, "an answer of the node that is back")
        figures.append(f"link mended: it answers requests after {time.monotonic() - mended_at:.1f} s")
        stop.set()
        for each in asking:
            each.result()
        ends = {stream.result().end for stream in streams}

    slowest_s = max(took for *_, took in asked)
    figures.append(f"link cut: the slowest of {len(asked)} requests to the other nodes took {slowest_s:.1f} s")
    assert {status for _, status, _ in asked} == {200}
    assert slowest_s < 15
    assert ends <= {"done", "error"}
    after = {node["address"]: node["id"] for node in client.list_nodes()}
    assert sorted(after) == sorted(before)
    assert after[far] != before[far]
    assert len(places(client, uid)) == 3
    assert nodes.processes("worker.fake.server") == 3, "nothing runs twice"
