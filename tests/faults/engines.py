"""Engines of a cluster under test: their processes, and streams that show what becomes of their requests."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil
import requests

from tests.conftest import RunningCluster
from tests.waiting import wait_for
from xinfer.client import RESTfulClient
from xinfer.cluster.processes import command_line


@dataclass(frozen=True)
class Engine:
    """One replica's engine. ``core`` is vLLM's; the fake engine has none."""

    replica: str
    address: str
    worker: psutil.Process
    server: psutil.Process
    core: psutil.Process | None


def ready(client: RESTfulClient, uid: str) -> list[dict[str, Any]]:
    """The replicas that take requests."""
    (instance,) = client.get_instance_info(None, uid)
    return [replica for replica in instance["replica_statuses"] if replica["status"] == "READY"]


def engines_of(client: RESTfulClient, uid: str) -> list[Engine]:
    """All that are READY."""
    title = f"ServeReplica:model-{uid}:"
    workers = [process for process in psutil.process_iter() if title in command_line(process)]
    return [_engine(replica, workers) for replica in ready(client, uid)]


def _engine(replica: dict[str, Any], workers: list[psutil.Process]) -> Engine:
    port = int(replica["model_address"].rpartition(":")[2])
    # The listener of a port that is only reserved has no status LISTEN. A worker has a connection for health checks.
    server = next(process for process in psutil.process_iter() if _listens(process, port))
    cores = [child for child in server.children(recursive=True) if "EngineCore" in command_line(child)]
    (worker,) = wait_for(lambda: [each for each in workers if _is_connected(each, port)], what="the engine's worker")
    return Engine(replica["replica_uid"], replica["model_address"], worker, server, cores[0] if cores else None)


def _listens(process: psutil.Process, port: int) -> bool:
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in _connections(process))


def _is_connected(process: psutil.Process, port: int) -> bool:
    return any(each.raddr and each.raddr.port == port for each in _connections(process))


def _connections(process: psutil.Process) -> list[Any]:
    try:
        return list(process.net_connections("tcp"))
    except psutil.Error:
        return []


@dataclass(frozen=True)
class Ended:
    """What a client saw: the status, how a stream ended, and how long it took."""

    status: int
    end: str
    """``done``, ``error``, ``cut`` (neither of them), or ``whole`` for a response that is no stream."""
    tokens: int
    seconds: float
    text: str


def chat(
    cluster: RunningCluster,
    uid: str,
    *,
    stream: bool = True,
    prompt: str = "Hi",
    begun: threading.Event | None = None,
    headers: Mapping[str, str] | None = None,
    **fields: Any,
) -> Ended:
    """One chat request, to its end. ``begun`` is set at its first bytes."""
    body = {"model": uid, "messages": [{"role": "user", "content": prompt}], "stream": stream, **fields}
    began = time.monotonic()
    url = f"{cluster.endpoint}/v1/chat/completions"
    with requests.post(url, json=body, headers=headers, stream=True, timeout=120) as answer:
        try:
            text = ""
            for part in answer.iter_content(chunk_size=None):
                text += part.decode()
                if begun:
                    begun.set()
        except requests.RequestException as error:
            return Ended(answer.status_code, "cut", 0, time.monotonic() - began, str(error))
    seconds = time.monotonic() - began
    if answer.status_code != 200 or not stream:
        return Ended(answer.status_code, "whole", 0, seconds, text)
    payloads = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return Ended(200, _end_of(payloads), len(payloads) - 2, seconds, text)


def _end_of(payloads: list[str]) -> str:
    errors = [payload for payload in payloads if payload != "[DONE]" and "error" in json.loads(payload)]
    assert len(errors) + payloads.count("[DONE]") <= 1, payloads[-3:]
    if payloads and payloads[-1] == "[DONE]":
        return "done"
    if errors and payloads[-1] == errors[-1]:
        return "error"
    return "cut"
