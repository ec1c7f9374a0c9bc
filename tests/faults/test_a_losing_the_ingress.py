"""Losing what clients connect to: HAProxy, and for a moment the supervisors that it knows."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import openai
import psutil
import pytest
import requests

from tests.conftest import RunningCluster
from tests.e2e.traces import actor, listening, record_of
from tests.faults.engines import chat
from tests.waiting import wait_for
from xinfer.cluster.processes import of_cluster

# Half a minute until Serve's own HAProxy runs again.
heavy = pytest.mark.heavy


@heavy
def test_haproxy_killed(cluster: RunningCluster, launch_fake: Callable[..., str], figures: list[str]) -> None:
    """Back within 2 s; a client that tries again as OpenAI's does sees no failure."""
    uid = launch_fake("behind-haproxy", tokens=2)
    for round_number in range(2):
        # Two while Serve reloads it.
        wait_for(lambda: len(haproxies(cluster)) == 1, 60, "one HAProxy")
        (haproxy,) = haproxies(cluster)
        haproxy.kill()
        killed_at = time.monotonic()
        with openai.OpenAI(api_key="x", base_url=f"{cluster.endpoint}/v1") as client:
            answer = client.chat.completions.create(model=uid, messages=[{"role": "user", "content": "Hi"}])
        took = time.monotonic() - killed_at
        assert answer.choices[0].message.content
        figures.append(f"HAProxy killed, round {round_number + 1}: the next response after {took:.2f} s")
        assert took < 3

        wait_for(lambda: answers_at_once(cluster, uid), 2, "a connection without another attempt")
    # Serve starts its own again, and the stand-in gives way to it without a broken connection.
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and not serves_by_its_own(cluster):
        assert (seen := chat(cluster, uid)).end == "done", seen
    assert serves_by_its_own(cluster)


def test_fallback_proxy(cluster: RunningCluster, launch_fake: Callable[..., str]) -> None:
    """Where HAProxy knows of no supervisor yet, Serve's own proxy sends requests on to one: whole and streamed."""
    uid = launch_fake("by-the-fallback", tokens=3)
    (proxy,) = actor(cluster, "ProxyActor")
    (port,) = [port for ip, port in listening(proxy) if ip == "127.0.0.1" and answers_health(port)]
    fallback = RunningCluster(f"http://127.0.0.1:{port}", cluster.home, cluster.lifecycle)
    whole = chat(fallback, uid, stream=False)
    assert (whole.status, json.loads(whole.text)["choices"][0]["message"]["content"]) == (200, "0 1 2 ")
    assert chat(fallback, uid).end == "done"
    refused = requests.post(f"{fallback.endpoint}/v1/completions", json={"model": "nobody", "prompt": "x"}, timeout=10)
    assert refused.status_code == 404


def answers_health(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/health", timeout=2).ok
    except requests.RequestException:
        return False


def haproxies(cluster: RunningCluster) -> list[psutil.Process]:
    return [process for process in of_cluster(record_of(cluster).id) if name_of(process) == "haproxy"]


def name_of(process: psutil.Process) -> str:
    """Empty if it has ended meanwhile."""
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def serves_by_its_own(cluster: RunningCluster) -> bool:
    running = haproxies(cluster)
    try:
        return len(running) == 1 and "stand-in" not in " ".join(running[0].cmdline())
    except psutil.NoSuchProcess:
        return False


def answers_at_once(cluster: RunningCluster, uid: str) -> bool:
    try:
        return chat(cluster, uid).end == "done"
    except requests.ConnectionError:
        return False
