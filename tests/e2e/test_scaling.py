"""The number of replicas changes, and those that run go on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import RunningCluster
from tests.e2e.traces import actor, ray_side
from tests.waiting import wait_for
from xinfer.client import RESTfulClient

# The registry's own tests have every step.
pytestmark = pytest.mark.heavy


def scale(cluster: RunningCluster, uid: str, replicas: int) -> None:
    """What REST asks the registry for, without waiting."""
    with ray_side(cluster, "scale", uid, str(replicas)) as process:
        process.communicate(timeout=60)
    assert process.returncode == 0, f"the registry did not take {replicas} replicas of {uid}"


def engines(client: RESTfulClient, uid: str) -> dict[str, int]:
    """The engine's process of each replica that takes requests."""
    (instance,) = client.get_instance_info(None, uid)
    ready = [each for each in instance["replica_statuses"] if each["status"] == "READY"]
    states = {each["replica_uid"]: _state(each["model_address"]) for each in ready}
    return {replica: state["pid"] for replica, state in states.items() if state}


def _state(address: str) -> dict[str, Any] | None:
    """None of one that has just ended."""
    try:
        facts: dict[str, Any] = requests.get(f"{address}/fake/state", timeout=5).json()
    except requests.ConnectionError:
        return None
    return facts


def test_up_and_down(client: RESTfulClient, cluster: RunningCluster, launch_fake: Callable[..., str]) -> None:
    """Also when the registry is restarted in between."""
    launch_fake("elastic")
    first = engines(client, "elastic")
    scale(cluster, "elastic", 3)
    three = wait_for(lambda: len(found := engines(client, "elastic")) == 3 and found, 30, "three replicas")
    assert first.items() <= three.items()
    (registry,) = actor(cluster, "Registry")
    registry.kill()
    registry.wait(10)
    wait_for(lambda: actor(cluster, "Registry"), 20, "another registry")
    wait_for(lambda: len(engines(client, "elastic")) == 3, 30, "their reports")
    assert engines(client, "elastic") == three
    wait_for(lambda: _scaled(cluster, 1), 30, "the new registry")
    one = wait_for(lambda: len(found := engines(client, "elastic")) == 1 and found, 30, "one replica")
    assert one.items() <= three.items()
    assert client.describe_model("elastic")["replica"] == 1
    wait_for(lambda: len(actor(cluster, "ServeReplica:model-elastic")) == 1, 20, "one worker")
    assert engines(client, "elastic") == one


def _scaled(cluster: RunningCluster, replicas: int) -> bool:
    """Whether the registry, which may have heard of no replica yet, takes it."""
    try:
        scale(cluster, "elastic", replicas)
    except AssertionError:
        return False
    return True


def test_replica_that_does_not_come_up(
    client: RESTfulClient, cluster: RunningCluster, launch_fake: Callable[..., str], tmp_path: Path
) -> None:
    """The model stays as it was, and Serve does not go on trying."""
    launch_fake("cramped", envs={"PYTHONPATH": str(tmp_path)})
    before = engines(client, "cramped")
    ending = "import os, sys; print('RuntimeError: the disk is on fire', file=sys.stderr, flush=True); os._exit(1)"
    (tmp_path / "sitecustomize.py").write_text(ending)
    scale(cluster, "cramped", 2)
    wait_for(lambda: client.describe_model("cramped")["replica"] == 1, 30, "the way back")
    logs = cluster.home / "logs" / "engines"
    tried = wait_for(lambda: len(list(logs.glob("cramped-*.log"))), 10, "their logs")
    assert engines(client, "cramped") == before
    wait_for(lambda: len(actor(cluster, "ServeReplica:model-cramped")) == 1, 20, "one worker")
    assert len(list(logs.glob("cramped-*.log"))) <= tried + 1
