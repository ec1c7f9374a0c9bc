"""Replicas that span nodes, of which each has two GPUs: a gang of workers that start, work and end together."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import RunningCluster
from tests.faults.engines import chat
from tests.joined_node import JoinedNode
from tests.nodes.conftest import ADDRESSES, node_at, stream
from tests.waiting import wait_for
from xinfer.client import RESTfulClient
from xinfer.errors import LaunchFailed, LaunchRefused

# Twenty seconds until both nodes are there, and as many for every node that is lost.
pytestmark = pytest.mark.heavy

Launch = Callable[..., str]
HEAD = "127.0.0.1"
ALL = {HEAD, *ADDRESSES}
# More than a node has, so that a replica is split.
SPLIT = {"n_worker": 2, "n_gpu": 2}
TAKEN_DOWN_S = 5.0


@pytest.fixture
def shared_memory() -> Iterator[None]:
    """Nothing is left of a test in shared memory."""
    before = set(_segments())
    yield
    wait_for(lambda: set(_segments()) <= before, 10, "the end of shared memory")


def _segments() -> list[str]:
    """What Python and vLLM make there; Ray has a file of its own for each node."""
    return [path.name for path in Path("/dev/shm").iterdir() if path.name.startswith(("psm_", "sem.", "vllm", "/vllm"))]


def workers(client: RESTfulClient, uid: str) -> list[dict[str, Any]]:
    """Those of the model's first replica, once all are ready; else none."""
    (instance,) = client.get_instance_info(None, uid)
    for replica in instance["replica_statuses"]:
        found: list[dict[str, Any]] = replica["workers"]
        if found and all(each["model_state"] == "ready" for each in found):
            return found
    return []


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


def with_children(pids: list[int]) -> list[int]:
    every = list(pids)
    for pid in pids:
        every += [child.pid for child in psutil.Process(pid).children(recursive=True)]
    return every


def test_launch_shows_every_worker_and_leaves_nothing(
    cluster: RunningCluster, client: RESTfulClient, joined: list[JoinedNode], launch_fake: Launch, figures: list[str]
) -> None:
    began = time.monotonic()
    launch_fake("alone", n_gpu=1)
    alone_s = time.monotonic() - began
    client.terminate_model("alone")

    began = time.monotonic()
    uid = launch_fake("gang", **SPLIT)
    figures.append(f"gang of 2: launched in {time.monotonic() - began:.1f} s, beside {alone_s:.1f} s on one node")
    assert (client.describe_model(uid)["n_worker"], client.describe_model(uid)["n_gpu"]) == (2, 2)
    leader, follower = workers(client, uid)
    assert (leader["rank"], follower["rank"]) == (0, 1)
    nodes = {leader["worker_address"], follower["worker_address"]}
    assert len(nodes) == 2
    assert nodes < ALL
    assert [len(each["accelerators"]) for each in (leader, follower)] == [2, 2]
    assert {
        node["address"] for node in client.list_nodes() if any(each["model_uid"] == uid for each in node["replicas"])
    } == nodes
    assert follower["worker_address"] in cluster.run("describe", uid).stdout
    assert chat(cluster, uid, stream=False, max_tokens=3).status == 200
    with pytest.raises(LaunchRefused, match="2 of them free, and 1 nodes have 2 or more"):
        launch_fake("second", **SPLIT)

    pids = [leader["pid"], follower["pid"]]
    assert alive(pids) == pids
    client.terminate_model(uid)
    assert alive(pids) == []


def test_lost_follower_takes_the_gang_down_and_it_comes_back(
    cluster: RunningCluster, client: RESTfulClient, joined: list[JoinedNode], launch_fake: Launch, figures: list[str]
) -> None:
    uid = launch_fake("loses-one", **SPLIT)
    leader, follower = workers(client, uid)
    os.kill(follower["pid"], signal.SIGKILL)
    killed_at = time.monotonic()
    wait_for(lambda: not alive([leader["pid"]]), TAKEN_DOWN_S, "the leader's end")
    figures.append(f"gang of 2, a worker killed: all of it is down after {time.monotonic() - killed_at:.1f} s")
    again = wait_for(lambda: _others(workers(client, uid), leader["pid"]), 30, "the whole gang's return")
    figures.append(f"gang of 2, a worker killed: it is back after {time.monotonic() - killed_at:.1f} s")
    assert len({each["worker_address"] for each in again}) == 2
    assert chat(cluster, uid, stream=False, max_tokens=1).status == 200

    # The actor that has the engine, with which that goes as well.
    owner = psutil.Process(again[1]["pid"]).ppid()
    os.kill(owner, signal.SIGKILL)
    pids = [each["pid"] for each in again]
    wait_for(lambda: not alive(pids), TAKEN_DOWN_S, "the end of both workers")
    wait_for(lambda: _others(workers(client, uid), again[0]["pid"]), 30, "the whole gang's return")


def _others(found: list[dict[str, Any]], old_pid: int) -> list[dict[str, Any]]:
    return [] if any(each["pid"] == old_pid for each in found) else found


def test_node_of_a_worker_is_lost(
    cluster: RunningCluster, client: RESTfulClient, joined: list[JoinedNode], launch_fake: Launch, figures: list[str]
) -> None:
    """The gang is whole again on the nodes that are left."""
    uid = launch_fake("loses-a-node", **SPLIT)
    found = workers(client, uid)
    addresses = [each["worker_address"] for each in found]
    lost = next(node for node in joined if node.address in addresses)
    lost.kill()
    killed_at = time.monotonic()
    pids = [each["pid"] for each in found]
    wait_for(lambda: not alive(pids), TAKEN_DOWN_S, "the end of both workers")
    figures.append(f"gang of 2, a node killed: all of it is down after {time.monotonic() - killed_at:.1f} s")
    again = wait_for(lambda: _others(workers(client, uid), pids[0]), 40, "the whole gang's return")
    figures.append(f"gang of 2, a node killed: it is back after {time.monotonic() - killed_at:.1f} s")
    assert {each["worker_address"] for each in again} == ALL - {lost.address}
    lost.join()


def test_moves_when_the_node_of_a_follower_leaves(
    cluster: RunningCluster, client: RESTfulClient, joined: list[JoinedNode], launch_fake: Launch, figures: list[str]
) -> None:
    """It stays, and says why, until there is room; then another gang comes up first, and no stream breaks."""
    # With these two each of the nodes that have joined has a GPU left and the head has none.
    launch_fake("on-the-head", n_gpu=2, worker_ip=HEAD)
    launch_fake("on-the-others", replica=2, n_gpu=1, node_labels={"pool": "more"})
    uid = launch_fake("moves-as-one", n_worker=2, n_gpu=1, gap_s=0.1)
    client.terminate_model("on-the-others")
    old, follower = (each["worker_address"] for each in workers(client, uid))
    leaves = next(node for node in joined if node.address == follower)

    with ThreadPoolExecutor(2) as pool:
        running = stream(pool, cluster, uid, 150)
        draining = pool.submit(leaves.drain, 60)
        reason = wait_for(lambda: client.get_instance_info(None, uid)[0]["reason"], 20, "the reason why it stays")
        assert f"has a worker on {follower}, which is drained, and stays there: 1 replica of 2 workers" in reason
        assert _state(client, follower) == "DRAINING"

        began = time.monotonic()
        client.terminate_model("on-the-head")
        wait_for(lambda: _with_ready(client, uid, 2), 30, "the other gang")
        figures.append(
            f"gang of 2, a follower's node drained: the next gang is up {time.monotonic() - began:.1f} s later"
        )
        assert client.describe_model(uid)["replica"] == 1
        assert not running.done()
        draining.result()
        assert running.done(), "the node waits for the follower, and that for the stream"
    ended = running.result()
    assert (ended.end, ended.tokens >= 150) == ("done", True)
    assert {each["worker_address"] for each in workers(client, uid)} == {HEAD, old}
    assert _state(client, follower) == "DRAINED", "no replica is there"
    assert chat(cluster, uid, stream=False, max_tokens=1).status == 200

    leaves.join()
    wait_for(lambda: _state(client, follower) == "READY", 20, "the node's return")


def _state(client: RESTfulClient, address: str) -> str | None:
    node = node_at(client, address)
    return node["state"] if node else None


def test_is_one_replica_for_scale_sleep_and_wake(
    cluster: RunningCluster, client: RESTfulClient, joined: list[JoinedNode], launch_fake: Launch
) -> None:
    uid = launch_fake("one-replica", n_worker=3, n_gpu=1)
    assert {each["worker_address"] for each in workers(client, uid)} == ALL
    client.scale_model(uid, 2)
    (instance,) = wait_for(lambda: _with_ready(client, uid, 2), 30, "two replicas")
    pids = [worker["pid"] for replica in instance["replica_statuses"] for worker in replica["workers"]]
    assert len(alive(pids)) == 6
    client.sleep_model(uid)
    wait_for(lambda: not alive(pids), 5, "the end of all workers")
    assert chat(cluster, uid, stream=False, max_tokens=1).status == 200, "a request wakes it"


def _with_ready(client: RESTfulClient, uid: str, count: int) -> list[dict[str, Any]]:
    (instance,) = client.get_instance_info(None, uid)
    ready = [replica for replica in instance["replica_statuses"] if replica["status"] == "READY"]
    return [instance] if len(ready) == count == len(instance["replica_statuses"]) else []


def test_is_not_split_where_one_node_holds_it(
    client: RESTfulClient, joined: list[JoinedNode], launch_fake: Launch
) -> None:
    uid = launch_fake("whole", n_worker=2, n_gpu=1)
    described = client.describe_model(uid)
    assert (described["n_worker"], described["n_gpu"]) == (1, 2)
    assert "is not split" in described["chosen_because"]
    assert len(workers(client, uid)) == 1


def test_launch_that_cannot_work_says_why(client: RESTfulClient, joined: list[JoinedNode], launch_fake: Launch) -> None:
    with pytest.raises(LaunchRefused, match=r"4 workers with 2 GPUs each.* has 6, 6 of them free, and 3 nodes have 2"):
        launch_fake("too-many", n_worker=4, n_gpu=2)
    with pytest.raises(LaunchRefused, match=r"4 workers, each on a node of its own, are asked for; nodes: 3"):
        launch_fake("too-many", n_worker=4)
    with pytest.raises(LaunchFailed, match=r"Worker 1 on 127\.0\.0\.\d: .*no such interface"):
        launch_fake("fails", **SPLIT, follower_error="no such interface")


def test_cancelled_launch_leaves_nothing(client: RESTfulClient, joined: list[JoinedNode], launch_fake: Launch) -> None:
    uid = launch_fake("cancelled", **SPLIT, load_s=60, wait_ready=False)
    pids = wait_for(lambda: _started(client, uid), 30, "the processes of both workers")
    client.cancel_launch_model(uid)
    assert alive(pids) == []


def _started(client: RESTfulClient, uid: str) -> list[int]:
    (replica,) = client.get_launch_model_progress(uid)["replicas"]
    pids = [worker["pid"] for worker in replica["workers"] if worker["pid"]]
    return pids if len(pids) == 2 else []


# 70 s on two cores, where only the head has a warm host.
@pytest.mark.heavy
@pytest.mark.usefixtures("shared_memory")
def test_vllm_shares_a_model_between_nodes(
    cluster: RunningCluster,
    client: RESTfulClient,
    joined: list[JoinedNode],
    launch_fake: Launch,
    tiny_chat: str,
    figures: list[str],
) -> None:
    """Tensor parallelism over two nodes, which is what vLLM's CPU build can do; the answers are those of one process."""
    question = [{"role": "user", "content": "What is the capital of France?"}]
    options = {"max_tokens": 24, "temperature": 0}
    expected = client.get_model(tiny_chat).chat(question, generate_config=options)["choices"][0]["message"]["content"]

    began = time.monotonic()
    uid = client.launch_model("tiny-chat", model_uid="shared", n_gpu=None, n_worker=2)
    figures.append(f"gang of 2 with vLLM: launched in {time.monotonic() - began:.1f} s")
    try:
        found = workers(client, uid)
        assert len({each["worker_address"] for each in found}) == 2
        began = time.monotonic()
        answer = client.get_model(uid).chat(question, generate_config=options)
        figures.append(f"gang of 2 with vLLM: 24 tokens in {time.monotonic() - began:.2f} s")
        assert answer["choices"][0]["message"]["content"] == expected
        pids = with_children([each["pid"] for each in found])
    finally:
        began = time.monotonic()
        client.terminate_model(uid)
        figures.append(f"gang of 2 with vLLM: terminated in {time.monotonic() - began:.1f} s")
    # The process that removes shared memory is the last one.
    wait_for(lambda: not alive(pids), 5, "the end of all processes")
