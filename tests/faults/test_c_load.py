"""Overload and the choice of a replica, through HAProxy and a real cluster."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.conftest import RunningCluster
from xinfer.client import RESTfulClient

# Load for ten seconds.
heavy = pytest.mark.heavy

CAPACITY, SURPLUS = 4, 36


def ask(cluster: RunningCluster, uid: str, prompt: str = "hello", **fields: Any) -> requests.Response:
    body = {"model": uid, "messages": [{"role": "user", "content": prompt}], **fields}
    return requests.post(f"{cluster.endpoint}/v1/chat/completions", json=body, timeout=30)


def served(client: RESTfulClient, uid: str) -> list[int]:
    """Requests that each replica has answered since its launch, which is one for each, the most first."""
    (instance,) = client.get_instance_info(None, uid)
    states = [
        requests.get(f"{replica['model_address']}/fake/state", timeout=5).json()
        for replica in instance["replica_statuses"]
    ]
    return sorted((state["served"] - 1 for state in states), reverse=True)


@heavy
def test_ten_times_the_capacity(cluster: RunningCluster, launch_fake: Callable[..., str], figures: list[str]) -> None:
    """What a model can't take is refused at once and told when to come back; the rest, and other models, are answered."""
    full = launch_fake("full", request_limits=CAPACITY, first_token_s=4, tokens=1)
    other = launch_fake("other", tokens=1)
    with ThreadPoolExecutor(CAPACITY + SURPLUS) as pool:
        began = time.monotonic()
        answers = list(pool.map(lambda _: ask(cluster, full), range(CAPACITY + SURPLUS)))
        taken = [answer for answer in answers if answer.status_code == 200]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert (len(taken), len(refused)) == (CAPACITY, SURPLUS)
        assert time.monotonic() - began < 8, "nobody waited for a second turn"
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert {answer.json()["error"]["code"] for answer in refused} == {"model_overloaded"}
    slowest = max(answer.elapsed.total_seconds() for answer in refused)
    figures.append(
        f"429 at ten times the capacity, {SURPLUS} at the same moment: the slowest after {1000 * slowest:.0f} ms"
    )
    assert ask(cluster, other).status_code == 200


@heavy
def test_other_models_are_answered_meanwhile(cluster: RunningCluster, launch_fake: Callable[..., str]) -> None:
    full = launch_fake("busy", request_limits=1, first_token_s=3, tokens=1)
    other = launch_fake("idle", tokens=1)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(ask, cluster, full)
        time.sleep(0.5)
        refusal = ask(cluster, full)
        assert refusal.status_code == 429
        assert ask(cluster, other).status_code == 200
        assert not running.done()
        assert running.result().status_code == 200
    assert ask(cluster, full, max_tokens=1).status_code == 200


@pytest.mark.parametrize("limit", [0, -1, "many"])
def test_limit_that_is_none(client: RESTfulClient, launch_fake: Callable[..., str], limit: Any) -> None:
    with pytest.raises(RuntimeError, match="request_limits"):
        launch_fake("limited", request_limits=limit)


def test_conversations_stay_where_their_beginning_is_cached(
    cluster: RunningCluster, client: RESTfulClient, launch_fake: Callable[..., str]
) -> None:
    """Those with the same long beginning share a replica; others are spread evenly."""
    uid = launch_fake("pair", replica=2, tokens=1)
    for turn in range(6):
        assert ask(cluster, uid, "the same long beginning " * 40 + str(turn)).status_code == 200
    assert served(client, uid) == [6, 0]
    for number in range(6):
        assert ask(cluster, uid, f"{number} is how this one begins " * 40).status_code == 200
    assert served(client, uid) == [9, 3]
