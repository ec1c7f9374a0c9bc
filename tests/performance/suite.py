"""``python -m tests.performance.suite``: bare vLLM and xinfer, each alone on this machine, one after the other, in rounds.

Measures tokens per second and TTFT against the number of streams, the start of a cluster, a launch, and what an idle cluster
costs. ``BENCH_ROUNDS`` (5) and ``BENCH_STREAMS`` (1,8,32,64,128) change what is measured. Prints tables in Markdown and writes
all samples to ``build/bench.json``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from xinfer.bench import cpu
from xinfer.bench.launching import bare
from xinfer.bench.launching.bench_cluster import wait_for_fork_server
from xinfer.bench.launching.cluster import Cluster, own_cluster
from xinfer.bench.launching.first_token import awaited_first_token, first_token
from xinfer.bench.launching.subject import completion
from xinfer.client import RESTfulClient
from xinfer.cluster.ports import free_port
from xinfer.cluster.processes import of_cluster

ROOT = Path(__file__).resolve().parent.parent.parent
MODEL = ROOT / "xinfer" / "tiny_chat" / "model"
PARSERS = ("--reasoning-parser", "qwen3", "--enable-auto-tool-choice", "--tool-call-parser", "hermes")
KV_CACHE_BYTES = 1 << 30
TIMEOUT_S = 180.0
# After which what has just started does no more work for the start.
SETTLE_S = 10.0
IDLE_S = 30.0

Sample = dict[str, Any]


def load(url: str, model: str, streams: str) -> list[Sample]:
    """One round of ``xinfer bench`` against a server: a sample for each number of streams."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        words = ["bench", url, "-m", model, "-c", streams, "--rounds", "1", "--json", file.name]
        argv = [sys.executable, "-m", "xinfer.cli", *words]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        result = json.loads(Path(file.name).read_text())
    return [
        {
            "streams": level["concurrency"],
            "tokens_per_s": level["a"]["tokens_per_s"],
            "ttft_p50_ms": level["a"]["ttft_ms"]["p50"],
            "errors": level["a"]["errors"],
        }
        for level in result["levels"]
    ]


@contextmanager
def bare_vllm(*arguments: str) -> Iterator[str]:
    """vLLM's own server, as people start it, with the KV cache of xinfer's engine; its address."""
    port = free_port("127.0.0.1")
    url = f"http://127.0.0.1:{port}"
    server = ("vllm.entrypoints.openai.api_server", "--model", str(MODEL), "--served-model-name", "tiny-chat")
    place = ("--host", "127.0.0.1", "--port", str(port), "--kv-cache-memory-bytes", str(KV_CACHE_BYTES))
    argv = [sys.executable, "-m", *server, *place, "--uvicorn-log-level", "warning", *arguments]
    with tempfile.TemporaryDirectory() as folder:
        process = bare.start(argv, dict(os.environ), Path(folder) / "bare.log")
        try:
            body = completion(url, "tiny-chat")
            awaited_first_token(*body, TIMEOUT_S, alive=lambda: process.poll() is None, period_s=0.2)
            yield url
        finally:
            bare.end(process)


def cost_of_idling(cluster: Cluster) -> Sample:
    """CPU time per second, in percent of a core, and memory in MiB (PSS), of all processes of a cluster."""
    processes = of_cluster(cluster.id)
    watched = {str(process.pid): [process.pid] for process in processes}
    before = cpu.cpu_seconds(watched)
    time.sleep(IDLE_S)
    spent = cpu.between(before, cpu.cpu_seconds(watched))
    memory = sum(process.memory_full_info().pss for process in of_cluster(cluster.id))
    return {
        "cpu_percent": 100 * sum(spent.values()) / IDLE_S,
        "memory_mib": memory / 2**20,
        "processes": len(processes),
    }


def launch_to_first_token(client: RESTfulClient, endpoint: str) -> float:
    """In seconds; the model is gone afterwards, and what it has left is at rest."""
    began = time.perf_counter()
    uid = client.launch_model("tiny-chat", n_gpu=None, wait_ready=True)
    took_s = first_token(*completion(endpoint, uid), TIMEOUT_S) - began
    client.terminate_model(uid)
    time.sleep(SETTLE_S)
    return took_s


def round_of_xinfer(streams: str, samples: dict[str, list[Any]], *, measure_idling: bool) -> None:
    """Start, launch, load through xinfer and directly, and idle."""
    with own_cluster() as cluster, RESTfulClient(cluster.endpoint) as client:
        began = time.monotonic()
        cluster.start()
        samples["start_s"].append(time.monotonic() - began)
        wait_for_fork_server(cluster.home)
        if measure_idling:
            time.sleep(SETTLE_S)
            samples["idle without a model"].append(cost_of_idling(cluster))
        for _ in range(3):
            samples["launch_to_first_token_s"].append(launch_to_first_token(client, cluster.endpoint))

        uid = client.launch_model("tiny-chat", n_gpu=None, wait_ready=True)
        (instance,) = client.get_instance_info(model_uid=uid)
        (replica,) = instance["replica_statuses"]
        samples["xinfer"].append(load(cluster.endpoint, uid, streams))
        samples["xinfer's engine, directly"].append(load(replica["model_address"], uid, streams))
        if measure_idling:
            time.sleep(SETTLE_S)
            samples["idle with tiny-chat"].append(cost_of_idling(cluster))


def table(samples: Mapping[str, list[list[Sample]]], field: str, digits: int) -> list[str]:
    """Medians over the rounds, a row for each server and a column for each number of streams."""
    streams = [each["streams"] for each in next(iter(samples.values()))[0]]
    lines = [f"| {field} | " + " | ".join(map(str, streams)) + " |", "|---" * (len(streams) + 1) + "|"]
    for name, rounds in samples.items():
        medians = [median(each[column][field] for each in rounds) for column in range(len(streams))]
        lines.append(f"| {name} | " + " | ".join(f"{value:.{digits}f}" for value in medians) + " |")
    return lines


def main() -> None:
    """Run all rounds and print what they found."""
    rounds = int(os.environ.get("BENCH_ROUNDS", "5"))
    streams = os.environ.get("BENCH_STREAMS", "1,8,32,64,128")
    bare: dict[str, tuple[str, ...]] = {"bare vLLM": (), "bare vLLM with parsers": PARSERS}
    servers = [*bare, "xinfer", "xinfer's engine, directly"]
    costs = ["start_s", "launch_to_first_token_s", "idle without a model", "idle with tiny-chat"]
    samples: dict[str, list[Any]] = {name: [] for name in [*servers, *costs]}
    for number in range(rounds):
        for name, arguments in bare.items():
            with bare_vllm(*arguments) as url:
                samples[name].append(load(url, "tiny-chat", streams))
        round_of_xinfer(streams, samples, measure_idling=number == 0)
        print(f"round {number + 1} of {rounds} is done", file=sys.stderr, flush=True)

    file = ROOT / "build" / "bench.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(samples, indent=1))
    by_server = {name: samples[name] for name in servers}
    print("\n".join(table(by_server, "tokens_per_s", 0)), end="\n\n")
    print("\n".join(table(by_server, "ttft_p50_ms", 1)), end="\n\n")
    for name in costs[:2]:
        print(f"{name}: {median(samples[name]):.2f} ({min(samples[name]):.2f} to {max(samples[name]):.2f})")
    for name in costs[2:]:
        print(f"{name}: {samples[name][0]}")


if __name__ == "__main__":
    main()
