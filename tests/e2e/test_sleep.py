"""Models that sleep: they give everything back when nobody uses them, and the next request wakes them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import requests

from tests.conftest import RunningCluster
from tests.e2e.traces import actor
from tests.waiting import wait_for
from xinfer.client import RESTfulClient
from xinfer.errors import ModelNotFound, Unavailable

# Ten seconds until it sleeps.
heavy = pytest.mark.heavy

ASLEEP_S = 30.0
CHAT = "/v1/chat/completions"


def body(uid: str, **fields: Any) -> dict[str, Any]:
    return {"model": uid, "messages": [{"role": "user", "content": "Hi"}], **fields}


def ask(cluster: RunningCluster, uid: str, **fields: Any) -> requests.Response:
    return requests.post(f"{cluster.endpoint}{CHAT}", json=body(uid, **fields), timeout=90)


def status(client: RESTfulClient, uid: str) -> str:
    (instance,) = client.get_instance_info(None, uid)
    found: str = instance["status"]
    return found


def processes(uid: str) -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cmdline"]) if uid in (p.info["cmdline"] or [])]


def falls_asleep(client: RESTfulClient, uid: str) -> None:
    wait_for(lambda: status(client, uid) == "SLEEPING", ASLEEP_S, f"{uid} asleep")
    wait_for(lambda: not processes(uid), 10, f"no process of {uid} left")


def starts(cluster: RunningCluster, uid: str) -> int:
    """How many engines there have been: each has a log of its own."""
    return len(list((cluster.home / "logs" / "engines").glob(f"{uid}-*.log")))


def taken(launch_fake: Callable[..., str], uid: str) -> bool:
    """Whether there is a registry that takes a launch."""
    with contextlib.suppress(Unavailable):
        return bool(launch_fake(uid, wait_ready=False))
    return False


@heavy
def test_asleep_it_gives_its_gpus_to_others(
    client: RESTfulClient, cluster: RunningCluster, launch_fake: Callable[..., str]
) -> None:
    launch_fake("drowsy", n_gpu=2, idle_timeout=1, tokens=3)
    assert ask(cluster, "drowsy").status_code == 200
    falls_asleep(client, "drowsy")
    assert "drowsy" in client.list_models()
    assert client.describe_model("drowsy")["status"] == "SLEEPING"
    launch_fake("greedy", n_gpu=2)
    client.terminate_model("greedy")
    answer = ask(cluster, "drowsy")
    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["completion_tokens"] == 3
    assert status(client, "drowsy") == "READY"
    assert starts(cluster, "drowsy") == 2


@heavy
def test_used_it_stays_awake(cluster: RunningCluster, launch_fake: Callable[..., str]) -> None:
    """Steady requests that are less than the timeout apart, and one stream that takes many times as long as that."""
    launch_fake("long-stream", idle_timeout=1, gap_s=0.25, tokens=30)
    streamed: list[str] = []
    stream = threading.Thread(target=lambda: streamed.append(ask(cluster, "long-stream", stream=True).text))
    stream.start()
    launch_fake("steady-use", idle_timeout=2, tokens=1)
    while stream.is_alive():
        assert ask(cluster, "steady-use").status_code == 200
        time.sleep(0.5)
    stream.join()
    assert streamed[0].endswith("data: [DONE]\n\n")
    assert [starts(cluster, uid) for uid in ("steady-use", "long-stream")] == [1, 1]


@heavy
def test_a_thousand_requests_wake_it_once(
    client: RESTfulClient, cluster: RunningCluster, launch_fake: Callable[..., str]
) -> None:
    launch_fake("popular", idle_timeout=1, tokens=2, start_s=1)
    falls_asleep(client, "popular")

    async def rush() -> list[int]:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(90)) as session:

            async def one() -> int:
                async with session.post(f"{cluster.endpoint}{CHAT}", json=body("popular")) as answer:
                    await answer.read()
                    return answer.status

            return await asyncio.gather(*(one() for _ in range(1000)))

    assert asyncio.run(rush()) == [200] * 1000
    assert starts(cluster, "popular") == 2
    assert len(processes("popular")) == 1


def test_asked_for_while_it_falls_asleep(
    client: RESTfulClient, cluster: RunningCluster, launch_fake: Callable[..., str]
) -> None:
    """Requests all along, of which some arrive in every part of the way: none is lost."""
    launch_fake("restless", idle_timeout=0.3, tokens=1)
    seen = set()
    end = time.monotonic() + 6
    while time.monotonic() < end or "SLEEPING" not in seen:
        seen.add(state := status(client, "restless"))
        if state == "SLEEPING":
            assert ask(cluster, "restless").status_code == 200
            time.sleep(0.3)
        time.sleep(0.01)
    assert starts(cluster, "restless") >= 2
    assert len(processes("restless")) <= 1


@heavy
def test_without_room_it_stays_asleep(
    client: RESTfulClient, cluster: RunningCluster, launch_fake: Callable[..., str]
) -> None:
    launch_fake("displaced", n_gpu=2, idle_timeout=1)
    falls_asleep(client, "displaced")
    launch_fake("squatter", n_gpu=1)
    began = time.monotonic()
    answer = ask(cluster, "displaced")
    assert time.monotonic() - began < 5
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert "2 GPUs are asked for" in answer.json()["error"]["message"]
    assert "1 of them free" in answer.json()["error"]["message"]
    assert status(client, "displaced") == "SLEEPING"
    client.terminate_model("squatter")
    assert ask(cluster, "displaced").status_code == 200


@heavy
def test_wake_that_fails(
    client: RESTfulClient, cluster: RunningCluster, launch_fake: Callable[..., str], tmp_path: Path
) -> None:
    """Whoever waits is told the engine's own last error; afterwards the UID is free."""
    launch_fake("moribund", idle_timeout=1, envs={"PYTHONPATH": str(tmp_path)})
    falls_asleep(client, "moribund")
    ending = "import os, sys; print('RuntimeError: the disk is on fire', file=sys.stderr, flush=True); os._exit(1)"
    (tmp_path / "sitecustomize.py").write_text(ending)
    answer = ask(cluster, "moribund")
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "launch_failed"
    assert "the disk is on fire" in answer.json()["error"]["message"]
    assert ask(cluster, "moribund").status_code == 404
    assert launch_fake("moribund") == "moribund"


def test_terminated_asleep(client: RESTfulClient, cluster: RunningCluster, launch_fake: Callable[..., str]) -> None:
    launch_fake("gone-in-sleep", idle_timeout=1)
    falls_asleep(client, "gone-in-sleep")
    client.terminate_model("gone-in-sleep")
    assert "gone-in-sleep" not in client.list_models()
    with pytest.raises(ModelNotFound):
        client.describe_model("gone-in-sleep")
    assert ask(cluster, "gone-in-sleep").status_code == 404
    assert launch_fake("gone-in-sleep") == "gone-in-sleep"


@heavy
def test_sleep_outlives_the_registry(
    client: RESTfulClient, cluster: RunningCluster, launch_fake: Callable[..., str]
) -> None:
    launch_fake("sound", idle_timeout=1)
    falls_asleep(client, "sound")
    (registry,) = actor(cluster, "Registry")
    registry.kill()
    registry.wait(10)
    wait_for(lambda: taken(launch_fake, "after-the-fall"), 30, "the new registry")
    time.sleep(3)  # in which it would bring up what it takes for awake
    assert status(client, "sound") == "SLEEPING"
    assert starts(cluster, "sound") == 1
    assert ask(cluster, "sound").status_code == 200
    assert starts(cluster, "sound") == 2
