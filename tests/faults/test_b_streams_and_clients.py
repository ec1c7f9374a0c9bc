"""Clients that leave: whatever they asked for is aborted in the engine, however their request was cut into segments."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import openai
import psutil
import pytest
import requests

from tests.conftest import RunningCluster
from tests.faults.engines import engines_of
from tests.waiting import wait_for
from xinfer.client import RESTfulClient
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.processes import of_cluster

pytestmark = pytest.mark.engine

LONG = {"max_tokens": 3000, "ignore_eos": True}
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def engine(client: RESTfulClient, tiny_chat: str) -> Iterator[str]:
    """The address of the engine's server, which has nothing to do before and after."""
    (replica,) = engines_of(client, tiny_chat)
    wait_for(lambda: running(replica.address) == 0, 20, "an idle engine")
    yield replica.address
    wait_for(lambda: running(replica.address) == 0, 20, "an idle engine")


def running(address: str) -> int:
    """Requests that vLLM has under way, waiting ones included."""
    text = requests.get(f"{address}/metrics", timeout=5).text
    found = re.findall(r"^vllm:num_requests_(?:running|waiting)\{[^}]*\} (\S+)$", text, re.MULTILINE)
    assert len(found) == 2
    return round(sum(map(float, found)))


def aborted_within(address: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while running(address):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("segments", [1, 2])
def test_clients_that_leave(cluster: RunningCluster, tiny_chat: str, engine: str, stream: bool, segments: int) -> None:
    """Head and body in one TCP segment, or in two."""
    body = json.dumps({"model": tiny_chat, "messages": HELLO, "stream": stream, **LONG}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    url = urlsplit(cluster.endpoint)
    connections = [socket.create_connection((url.hostname, url.port)) for _ in range(8)]
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if segments == 1:
            connection.sendall(head + body)
        else:
            connection.sendall(head)
            time.sleep(0.02)
            connection.sendall(body)
    wait_for(lambda: running(engine) == 8, 10, "eight requests")
    for connection in connections:
        connection.close()
    assert aborted_within(engine, 1.0)


async def test_openai_s_client_that_runs_out_of_time(cluster: RunningCluster, tiny_chat: str, engine: str) -> None:
    """It leaves in the middle of whole responses; nothing goes on, in the engine or in HAProxy."""

    async def ask(client: openai.AsyncOpenAI) -> None:
        with pytest.raises(openai.APITimeoutError):
            await client.chat.completions.create(
                model=tiny_chat, messages=HELLO, max_tokens=3000, extra_body={"ignore_eos": True}
            )

    async with openai.AsyncOpenAI(api_key="x", base_url=f"{cluster.endpoint}/v1", timeout=1.5, max_retries=0) as client:
        await asyncio.gather(*(ask(client) for _ in range(8)))
        assert await asyncio.to_thread(aborted_within, engine, 1.0)
        busy = await asyncio.to_thread(haproxy_s_cpu_share, cluster)
    assert busy < 0.2


def haproxy_s_cpu_share(cluster: RunningCluster) -> float:
    """Of one core, over a second."""
    record = ClusterRecord.load(cluster.home)
    assert record
    processes = [process for process in of_cluster(record.id) if process.name() == "haproxy"]
    before = sum(_cpu_s(process) for process in processes)
    time.sleep(1)
    return sum(_cpu_s(process) for process in processes) - before


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
