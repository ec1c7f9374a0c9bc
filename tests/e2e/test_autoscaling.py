"""The number of replicas follows the load, on real Ray Serve with the fake engine. No request fails, no stream is cut."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

import aiohttp
import pytest
import requests

from tests.conftest import RunningCluster
from tests.e2e.load import CHAT, HELLO, load
from tests.e2e.traces import actor
from tests.waiting import wait_for
from xinfer.client import RESTfulClient
from xinfer.errors import XinferError

# Replicas follow load in tens of seconds; tests/supervisor/registry/autoscaling has the decisions.
heavy = pytest.mark.heavy

UP_S = 60.0
"""For what takes a few seconds on a quiet machine."""


def ready(client: RESTfulClient, uid: str) -> int:
    scaling = client.get_model_scaling(uid)
    return int(scaling["ready"]) if not scaling["starting"] and not scaling["leaving"] else -1


def changes(client: RESTfulClient, uid: str) -> list[tuple[int, int]]:
    decisions = client.get_model_scaling(uid)["decisions"]
    return [(each["before"], each["desired"]) for each in decisions if each["before"] != each["desired"]]


def workers(cluster: RunningCluster, uid: str) -> int:
    return len(actor(cluster, f"ServeReplica:model-{uid}"))


@heavy
def test_square_wave(
    client: RESTfulClient, cluster: RunningCluster, launch_fake: Callable[..., str], figures: list[str]
) -> None:
    """Three times what one replica holds, then a third: up in one or two steps, down again, and nothing is cut."""
    config = {"max_replicas": 3, "upscale_delay_s": 1, "downscale_delay_s": 3}
    uid = launch_fake("square-wave", slots=4, gap_s=0.15, autoscaling_config=config)
    with load(cluster.endpoint, uid) as work:
        work.streams = 1
        wait_for(lambda: work.done >= 2, UP_S, "the first answers")
        began = time.time()
        work.streams = 12
        wait_for(lambda: client.get_model_scaling(uid)["desired"] == 3, UP_S, "the decision")
        decided = client.get_model_scaling(uid)["decisions"][-1]["at"] - began
        wait_for(lambda: ready(client, uid) == 3, UP_S, "three replicas")
        figures.append(
            f"step to three times one replica: decided after {decided:.1f} s, up after {time.time() - began:.1f} s"
        )
        up = changes(client, uid)
        # Steady: nothing changes for longer than every delay.
        time.sleep(4)
        assert changes(client, uid) == up
        work.streams = 1
        wait_for(lambda: ready(client, uid) == 1, UP_S, "one replica")
    assert all(before < desired for before, desired in up)
    down = changes(client, uid)[len(up) :]
    assert all(before > desired for before, desired in down)
    texts = [event["event_content"] for event in client.get_model_events(uid)]
    assert any(text.startswith("Autoscaling from 1 to ") for text in texts)


@heavy
def test_ramp_with_a_target_for_ttft(
    client: RESTfulClient, cluster: RunningCluster, launch_fake: Callable[..., str], figures: list[str]
) -> None:
    """A load that grows step by step: replicas are added, none goes, until 90 of 100 streams begin in time."""
    target_s = 0.5
    config = {"max_replicas": 3, "target_ttft_s": target_s, "upscale_delay_s": 1, "downscale_delay_s": 600}
    uid = launch_fake("ramp", slots=4, gap_s=0.1, autoscaling_config=config)
    with load(cluster.endpoint, uid) as work:
        for streams in (2, 5, 8, 10):
            work.streams = streams
            time.sleep(1.5)
        wait_for(lambda: ready(client, uid) == 3, UP_S, "three replicas")
        # What waited at the first replica has its first token by then.
        time.sleep(2)
        settled = time.time()
        wait_for(lambda: sum(at > settled for at, _ in work.first_tokens) >= 50, UP_S, "fifty streams more")
        seconds = sorted(took for at, took in work.first_tokens if at > settled)
    p90 = seconds[len(seconds) * 9 // 10]
    figures.append(
        f"ramp to two and a half times one replica, target for TTFT {target_s} s: p90 {p90:.2f} s at its end"
    )
    assert p90 <= target_s
    assert all(before < desired for before, desired in changes(client, uid))


@heavy
def test_leaving_replica_finishes_its_streams(
    client: RESTfulClient, cluster: RunningCluster, launch_fake: Callable[..., str]
) -> None:
    """By hand: the busy replica stays, the one that goes gets nothing more, and no stream is cut."""
    # Streams so long that none ends before the one that goes is chosen.
    config = {"max_replicas": 2, "downscale_delay_s": 600}
    uid = launch_fake("leaving", replica=2, gap_s=1.0, autoscaling_config=config)
    with load(cluster.endpoint, uid) as work:
        work.streams = 5
        wait_for(lambda: sum(_running(client, uid).values()) == 5, UP_S, "streams at both replicas")
        wait_for(
            lambda: client.get_model_scaling(uid)["load"].get("in_flight") == 5, UP_S, "the registry to know of them"
        )
        before = _running(client, uid)
        least_busy = min(before, key=lambda name: before[name])
        scaling = client.scale_model(uid, 1)
        assert (scaling["desired"], scaling["leaving"], scaling["autoscaling_config"]) == (1, 1, None)
        assert _running(client, uid)[least_busy] == before[least_busy], "it has not been ended"
        wait_for(lambda: ready(client, uid) == 1 and client.describe_model(uid)["replica"] == 1, UP_S, "one replica")
        assert least_busy not in _running(client, uid)
    wait_for(lambda: workers(cluster, uid) == 1, UP_S, "no worker in its place")


def _running(client: RESTfulClient, uid: str) -> dict[str, int]:
    (instance,) = client.get_instance_info(None, uid)
    found: dict[str, int] = {}
    for each in instance["replica_statuses"]:
        if each["status"] == "READY":
            found[each["replica_uid"]] = requests.get(f"{each['model_address']}/fake/state", timeout=5).json()[
                "running"
            ]
    return found


def test_burst_from_zero(
    client: RESTfulClient, cluster: RunningCluster, launch_fake: Callable[..., str], figures: list[str]
) -> None:
    """Two hundred requests at once at a model that sleeps: one wake, and all are answered."""
    config = {"min_replicas": 0, "max_replicas": 3, "downscale_to_zero_delay_s": 1, "upscale_delay_s": 1}
    uid = launch_fake("burst", slots=64, tokens=3, gap_s=0.02, autoscaling_config=config)
    wait_for(lambda: _status(client, uid) == "SLEEPING", UP_S, "asleep")

    async def burst() -> list[float]:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(90)) as session:

            async def one() -> float:
                began = time.monotonic()
                body = {"model": uid, "messages": HELLO}
                async with session.post(f"{cluster.endpoint}{CHAT}", json=body) as answer:
                    assert answer.status == 200, await answer.text()
                    await answer.read()
                return time.monotonic() - began

            return await asyncio.gather(*(one() for _ in range(200)))

    seconds = sorted(asyncio.run(burst()))
    figures.append(f"burst of 200 from zero: first answer after {seconds[0]:.1f} s, p99 after {seconds[197]:.1f} s")
    woken = [e for e in client.get_model_events(uid) if e["event_content"] == "Woken by a request."]
    assert len(woken) == 1


def _status(client: RESTfulClient, uid: str) -> str:
    (instance,) = client.get_instance_info(None, uid)
    return str(instance["status"])


@heavy
def test_contention(client: RESTfulClient, cluster: RunningCluster, launch_fake: Callable[..., str]) -> None:
    """Two models on two GPUs: one that needs a second says what it would take, and gets what the other does not need."""
    config = {"max_replicas": 2, "upscale_delay_s": 1, "downscale_delay_s": 600}
    busy = launch_fake("contender", n_gpu=0.5, slots=2, gap_s=0.1, autoscaling_config=config)
    idle = launch_fake(
        "surplus", n_gpu=0.5, replica=3, slots=2, tokens=10, autoscaling_config={**config, "max_replicas": 3}
    )
    with load(cluster.endpoint, busy) as work:
        work.streams = 4
        wait_for(lambda: ready(client, busy) == 2, 2 * UP_S, "the second replica of the busy model")
    reasons = [each["reason"] for each in client.get_model_scaling(busy)["decisions"]]
    assert any("GPUs are asked for" in reason and "free" in reason for reason in reasons)
    given = client.get_model_scaling(idle)["decisions"][-1]
    assert given["desired"] < given["before"]
    assert "other models wait" in given["reason"]


@heavy
def test_schedule(client: RESTfulClient, launch_fake: Callable[..., str]) -> None:
    """Hours that hold now make the bounds, at a launch and when they are changed."""
    uid = launch_fake("scheduled", autoscaling_config={"max_replicas": 3, "downscale_delay_s": 600})
    today = datetime.now(UTC).strftime("%a")
    tomorrow = datetime.fromtimestamp(time.time() + 86_400, UTC).strftime("%a")
    words = f"{today},{tomorrow} 00:00-24:00"
    client.scale_model(uid, autoscaling_config={"schedules": [f"{words} min=2"]})
    wait_for(lambda: ready(client, uid) == 2, UP_S, "what the schedule wants")
    assert words in client.get_model_scaling(uid)["decisions"][-1]["reason"]
    client.scale_model(uid, autoscaling_config={"schedules": [f"{words} max=1"]})
    wait_for(lambda: ready(client, uid) == 1, UP_S, "what the other schedule allows")


@heavy
def test_registry_is_killed_in_the_middle(
    client: RESTfulClient, cluster: RunningCluster, launch_fake: Callable[..., str]
) -> None:
    """The settings are on disk: another registry goes on scaling, and no request notices."""
    config = {"max_replicas": 2, "target_ongoing_requests": 2, "upscale_delay_s": 1, "downscale_delay_s": 3}
    uid = launch_fake("orphaned", gap_s=0.1, autoscaling_config=config)
    with load(cluster.endpoint, uid) as work:
        work.streams = 4
        wait_for(lambda: client.get_model_scaling(uid)["desired"] == 2, UP_S, "the decision")
        (registry,) = actor(cluster, "Registry")
        registry.kill()
        registry.wait(10)
        wait_for(lambda: actor(cluster, "Registry"), UP_S, "another registry")
        wait_for(lambda: _tells(client, uid) == 2, UP_S, "two replicas")
        assert client.describe_model(uid)["autoscaling_config"]["target_ongoing_requests"] == 2
        work.streams = 1
        wait_for(lambda: _tells(client, uid) == 1, UP_S, "one replica")


def _tells(client: RESTfulClient, uid: str) -> int:
    try:
        return ready(client, uid)
    except XinferError:
        return -1


def test_commands(client: RESTfulClient, cluster: RunningCluster, launch_fake: Callable[..., str]) -> None:
    """What a person sees of all that."""
    uid = launch_fake("by-hand", autoscaling_config={"max_replicas": 2})
    shown = cluster.run("scale", uid, "--max", "3", "--target-requests", "8").stdout
    assert "Autoscaling: from 1 to 3 replicas now; 8 requests per replica are the target." in shown
    assert "Replicas: 2 desired, 2 ready" in cluster.run("scale", uid, "2").stdout
    described = cluster.run("describe", uid).stdout
    assert "Autoscaling: off." in described
    assert client.get_model_scaling(uid)["autoscaling_config"] is None


@heavy
@pytest.mark.engine
def test_real_engine_says_how_busy_it_is(client: RESTfulClient, cluster: RunningCluster, tiny_chat: str) -> None:
    """A worker reads vLLM's own metrics from its next health check on."""
    client.scale_model(tiny_chat, autoscaling_config={"max_replicas": 1})
    try:
        with load(cluster.endpoint, tiny_chat) as work:
            work.tokens = 400
            work.streams = 1
            wait_for(
                lambda: client.get_model_scaling(tiny_chat)["load"].get("running") == 1, UP_S, "the engine's own count"
            )
    finally:
        client.scale_model(tiny_chat, autoscaling_config=False)


@pytest.mark.engine
@pytest.mark.heavy
def test_real_engines_follow_their_queues(client: RESTfulClient, cluster: RunningCluster, figures: list[str]) -> None:
    """Three vLLM engines on two cores: what two of them add to the third is their share of the cores, so it takes a minute."""
    config = {"max_replicas": 3, "downscale_delay_s": 10}
    uid = client.launch_model(
        "tiny-chat", model_uid="scaled-chat", n_gpu=None, max_num_seqs=4, kv_cache_gib=0.25, autoscaling_config=config
    )
    try:
        with load(cluster.endpoint, uid) as work:
            work.tokens = 400
            began = time.time()
            work.streams = 12
            wait_for(lambda: client.get_model_scaling(uid)["desired"] == 3, UP_S, "the decision")
            decided = client.get_model_scaling(uid)["decisions"][-1]["at"] - began
            wait_for(lambda: ready(client, uid) == 3, 2 * UP_S, "three engines")
            up_s = time.time() - began
            figures.append(f"tiny-chat, three times one engine: decided after {decided:.1f} s, up after {up_s:.1f} s")
            work.streams = 1
            wait_for(lambda: ready(client, uid) == 1, 2 * UP_S, "one engine")
    finally:
        client.terminate_model(uid)
