"""Joining a cluster, and what is said where that cannot work."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, RunningCluster
from tests.joined_node import JoinedNode
from tests.shell import Shell
from tests.waiting import wait_for
from xinfer.client import RESTfulClient
from xinfer.cluster import lifecycle
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.ports import free_port
from xinfer.errors import LaunchRefused

# A cluster of its own.
heavy = pytest.mark.heavy

ADDRESS = "127.0.0.5"


@pytest.fixture
def shell() -> Iterator[Shell]:
    """Another machine's."""
    with tempfile.TemporaryDirectory(prefix="xi-", dir="/tmp") as folder:
        made = Shell(Path(folder), free_port("127.0.0.1"))
        try:
            yield made
        finally:
            made("stop", "--drain-timeout", "0")


def words_of(cluster: RunningCluster) -> list[str]:
    """What the head says to enter, and this address, as all nodes are on one machine."""
    command = cluster.run("nodes", "join-command").stdout.split()
    assert command[:2] == ["xinfer", "start"]
    return [*command[1:], "--node-ip", ADDRESS, "--no-warm-host"]


@heavy
def test_the_line_that_the_head_shows(cluster: RunningCluster, shell: Shell, figures: list[str]) -> None:
    """It is all that a machine needs; the node is in use as soon as the command returns."""
    began = time.monotonic()
    done = shell(*words_of(cluster), "--label", "pool=joined", "--num-gpus", "1")
    figures.append(f"join to usable: {time.monotonic() - began:.1f} s")
    assert done.returncode == 0, done.stderr
    assert "has joined" in done.stdout
    with RESTfulClient(cluster.endpoint) as client:
        assert client.get_node(ADDRESS)["labels"] == {"pool": "joined"}
        uid = client.launch_model("tiny-chat", model_uid="at-the-joined", n_gpu=None, node_labels={"pool": "joined"})
        try:
            (instance,) = client.get_instance_info(None, uid)
            assert [replica["worker_address"] for replica in instance["replica_statuses"]] == [ADDRESS]
            answer = client.get_model(uid).chat([{"role": "user", "content": "Hi"}], generate_config={"max_tokens": 4})
            assert answer["usage"]["completion_tokens"] == 4
            assert client.get_model_log(uid)["replicas"][0]["lines"], "its agent reads its log"
        finally:
            client.terminate_model(uid)
        assert shell("stop", "--drain-timeout", "0").returncode == 0
        wait_for(lambda: ADDRESS not in [node["address"] for node in client.list_nodes()], 20, "the node's end")


def test_wrong_token(cluster: RunningCluster, shell: Shell) -> None:
    words = words_of(cluster)
    words[words.index("--token") + 1] = "0" * 64
    began = time.monotonic()
    done = shell(*words)
    assert done.returncode == 1
    assert "does not accept this token" in done.stderr
    assert time.monotonic() - began < 20
    assert shell.record is None


def test_no_token(cluster: RunningCluster, shell: Shell) -> None:
    done = shell("start", "--join", words_of(cluster)[2])
    assert (done.returncode, "--token" in done.stderr) == (1, True)


def test_nobody_at_that_address(shell: Shell) -> None:
    address = f"127.0.0.1:{free_port('127.0.0.1')}"
    done = shell("start", "--join", address, "--token", "0" * 64)
    assert done.returncode == 1
    assert f"There is no head at {address}" in done.stderr


def test_token_without_a_head_to_join(shell: Shell) -> None:
    done = shell("start", "--token", "0" * 64)
    assert (done.returncode, "a head makes its own" in done.stderr) == (2, True)
    done = shell("start", "--join", "127.0.0.1:1", "--token", "a b")
    assert (done.returncode, "join-command" in done.stderr) == (2, True)


@heavy
def test_node_that_does_not_fit_leaves_nothing(cluster: RunningCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its clock is off, as far as the comparison can tell."""
    ahead = {"PYTHONPATH": str(ROOT / "tests" / "nodes" / "clock_ahead")}
    check = lifecycle.check_fits
    monkeypatch.setattr(lifecycle, "check_fits", lambda address, env: check(address, {**env, **ahead}))
    node = JoinedNode(cluster.home, ADDRESS)
    with pytest.raises(LaunchRefused, match="clock is 60 s ahead of the head's"):
        node.join()
    assert ClusterRecord.load(node.home) is None
    with RESTfulClient(cluster.endpoint) as client:
        wait_for(lambda: ADDRESS not in [each["address"] for each in client.list_nodes()], 20, "the node's end")
    node.leave()


def test_no_head_no_line(shell: Shell) -> None:
    done = shell("nodes", "join-command")
    assert (done.returncode, "No head runs here" in done.stderr) == (1, True)
