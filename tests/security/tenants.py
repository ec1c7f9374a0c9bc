"""``python -m tests.security.tenants``: what one tenant feels of another, on a cluster with keys and vLLM with tiny-chat.

``waiting``: the TTFT of a key that asks one thing after the other, alone, beside a key that takes half of the places, and beside
one that floods; for a model whose requests wait in the engine, and one whose requests wait in xinfer's queue.
``wrong-keys``: TTFT and latency beside a flood of requests with a wrong key.
``added``: the TTFT that keys, limits and the queue add at one stream, against a cluster without keys and the engines themselves.
Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import requests

from tests.security.flood import flood
from xinfer.api_key import engine_secret, new_id, new_key
from xinfer.bench.launching.cluster import Cluster, own_cluster
from xinfer.bench.stats import percentile
from xinfer.client import RESTfulClient
from xinfer.cluster.cluster_secret import operator_key
from xinfer.wire.paths import ENGINE_SECRET

PLACES = 4
FLOOD = 32
DEPTH = 256
TOKENS = 16
FLOOD_TOKENS = 64
PAUSE_S = 0.02
CHAT = "/v1/chat/completions"
MODELS: dict[str, dict[str, Any]] = {"the engine's queue": {}, "xinfer's queue": {"request_limits": PLACES}}
_numbers = count()


@dataclass
class Felt:
    """What one tenant's requests felt, in milliseconds."""

    ttft: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    refused: int = 0

    def add(self, other: Felt) -> None:
        self.ttft += other.ttft
        self.whole += other.whole
        self.refused += other.refused

    def at(self, share: float, of: str = "ttft") -> float:
        values = sorted(getattr(self, of))
        return percentile(values, share) if values else float("nan")


class Tenant:
    """Asks one thing after the other, on one connection."""

    def __init__(self, url: str, model: str, headers: dict[str, str]) -> None:
        self._url = url + CHAT
        self._model = model
        self._http = requests.Session()
        self._http.headers.update(headers)

    def ask(self, felt: Felt) -> None:
        """One stream, of a prompt that nobody has sent before."""
        body = chat(self._model, TOKENS, f"Question {next(_numbers)}: what is the largest animal?")
        began = time.perf_counter()
        with self._http.post(self._url, json=body, stream=True, timeout=60) as answer:
            if answer.status_code == 429:
                felt.refused += 1
                return
            answer.raise_for_status()
            pieces = answer.iter_content(None)
            next(pieces)
            first = time.perf_counter()
            for _ in pieces:
                pass
        felt.ttft.append(1000 * (first - began))
        felt.whole.append(1000 * (time.perf_counter() - began))

    def ask_for(self, seconds: float) -> Felt:
        """One request after the other, with a pause between two."""
        felt = Felt()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.ask(felt)
            time.sleep(PAUSE_S)
        return felt


def chat(model: str, tokens: int, text: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"model": model, "messages": messages, "max_tokens": tokens, "stream": True, "ignore_eos": True}


@contextmanager
def started(*words: str, **env: str) -> Iterator[tuple[Cluster, RESTfulClient]]:
    """A cluster of its own, and its operator's client."""
    os.environ.update(env)
    try:
        with own_cluster() as cluster:
            cluster.start(*words)
            with RESTfulClient(cluster.endpoint, operator_key(cluster.home)) as client:
                yield cluster, client
    finally:
        for name in env:
            del os.environ[name]


def launch(client: RESTfulClient, uid: str, **options: Any) -> None:
    client.launch_model("tiny-chat", model_uid=uid, n_gpu=None, wait_ready=True, **options)


def waiting(cluster: Cluster, client: RESTfulClient, seconds: float, rounds: int) -> None:
    """Two ways to treat a flood."""
    print(f"| who waits where | beside | TTFT p50 (ms) | p90 | p99 | requests | the other's |\n{'|---' * 7}|")
    for number, (name, options) in enumerate(MODELS.items()):
        launch(client, "m", max_num_seqs=PLACES, **options)
        tenant = Tenant(cluster.endpoint, "m", {"x-api-key": client.create_key(f"quiet-{number}")["key"]})
        loud = client.create_key(f"loud-{number}")["key"]
        tenant.ask_for(2)
        felt = {"nobody": Felt(), "half of the places": Felt(), "a flood": Felt()}
        others: dict[str, Counter[str]] = {each: Counter() for each in felt}
        for _ in range(rounds):
            for who, connections in zip(felt, (0, PLACES // 2, FLOOD), strict=True):
                if not connections:
                    felt[who].add(tenant.ask_for(seconds))
                    continue
                body = chat("m", FLOOD_TOKENS, "Tell me about the sea.")
                with flood(cluster.endpoint + CHAT, loud, connections, body) as end:
                    time.sleep(3)
                    felt[who].add(tenant.ask_for(seconds))
                    others[who] += end()
        for who, each in felt.items():
            figures = " | ".join(f"{each.at(share):.1f}" for share in (0.5, 0.9, 0.99))
            told = ", ".join(f"{times} of status {status}" for status, times in sorted(others[who].items()))
            print(f"| {name} | {who} | {figures} | {len(each.ttft)} | {told} |", flush=True)
        client.terminate_model("m")


def wrong_keys(cluster: Cluster, client: RESTfulClient, seconds: float, rounds: int) -> None:
    """Whether others feel that somebody tries keys."""
    print(f"| beside | TTFT p50 (ms) | p99 | latency p50 | p99 | requests | the flood's per second |\n{'|---' * 7}|")
    launch(client, "m")
    tenant = Tenant(cluster.endpoint, "m", {"x-api-key": client.create_key("one")["key"]})
    tenant.ask_for(2)
    body = chat("m", 1, "x")
    felt = {"nobody": Felt(), "wrong keys": Felt()}
    refused = 0
    for _ in range(rounds):
        felt["nobody"].add(tenant.ask_for(seconds))
        with flood(cluster.endpoint + CHAT, new_key(new_id()), 8, body) as end:
            time.sleep(2)
            felt["wrong keys"].add(tenant.ask_for(seconds))
            refused += end().total()
    for who, each in felt.items():
        first = " | ".join(f"{each.at(share):.1f}" for share in (0.5, 0.99))
        whole = " | ".join(f"{each.at(share, 'whole'):.1f}" for share in (0.5, 0.99))
        rate = f"{refused / rounds / (seconds + 2):.0f}" if who == "wrong keys" else ""
        print(f"| {who} | {first} | {whole} | {len(each.ttft)} | {rate} |", flush=True)
    client.terminate_model("m")


def added(cluster: Cluster, client: RESTfulClient, number: int) -> None:
    """Requests to four addresses in turn: this cluster, one without keys, and the engine of each."""
    limits = {"rpm": 10**6, "tpm": 10**9, "concurrency": 100, "budget_tokens": 10**12}
    key = client.create_key("with all limits", models=["m*"], **limits)["key"]
    with started() as (plain, nobody):
        tenants = {
            **_with_engine("with keys", cluster, client, {"x-api-key": key}),
            **_with_engine("without keys", plain, nobody, {}),
        }
        felt = {name: Felt() for name in tenants}
        for tenant in tenants.values():
            tenant.ask_for(2)
        for _ in range(number):
            for name, tenant in tenants.items():
                tenant.ask(felt[name])
                time.sleep(PAUSE_S)
    print(f"| address | TTFT p50 (ms) | p90 | requests |\n{'|---' * 4}|")
    for name, each in felt.items():
        print(f"| {name} | {each.at(0.5):.2f} | {each.at(0.9):.2f} | {len(each.ttft)} |", flush=True)


def _with_engine(name: str, cluster: Cluster, client: RESTfulClient, headers: dict[str, str]) -> dict[str, Tenant]:
    launch(client, "m", max_num_seqs=PLACES, request_limits=PLACES)
    (replica,) = client.get_instance_info(model_uid="m")[0]["replica_statuses"]
    secret = engine_secret((cluster.home / "ray.token").read_text().strip())
    return {
        name: Tenant(cluster.endpoint, "m", headers),
        f"the engine of the cluster {name}": Tenant(replica["model_address"], "m", {ENGINE_SECRET: secret}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.security.tenants", description=__doc__)
    parser.add_argument("what", nargs="*", help="of: waiting, wrong-keys, added; all without")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--requests", type=int, default=300, help="to each address, of `added`")
    wanted = parser.parse_args()
    what = wanted.what or ["waiting", "wrong-keys", "added"]
    with started("--auth", XINFER_QUEUE_DEPTH=str(DEPTH), XINFER_QUEUE_TIMEOUT_S="60") as (cluster, client):
        if "waiting" in what:
            waiting(cluster, client, wanted.seconds, wanted.rounds)
        if "wrong-keys" in what:
            wrong_keys(cluster, client, wanted.seconds, wanted.rounds)
        if "added" in what:
            added(cluster, client, wanted.requests)


if __name__ == "__main__":
    main()
