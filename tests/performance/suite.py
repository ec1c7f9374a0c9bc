"""``python -m tests.performance.suite``: bare vLLM and xinfer, each alone on this machine, one after the other, in rounds.

Measures tokens per second and TTFT against the number of streams, the start of a cluster, a launch, and what an idle cluster
costs. ``BENCH_ROUNDS`` (5) and ``BENCH_STREAMS`` (1,8,32,64,128) change what is measured. Prints tables in Markdown and writes
all samples to ``build/bench.json``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import requests

from xinfer.client import RESTfulClient
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.environment import MARK
from xinfer.cluster.ports import free_port
from xinfer.cluster.processes import end, of_cluster

ROOT = Path(__file__).resolve().parent.parent.parent
MODEL = ROOT / "xinfer" / "tiny_chat" / "model"
PARSERS = ("--reasoning-parser", "qwen3", "--enable-auto-tool-choice", "--tool-call-parser", "hermes")
KV_CACHE_BYTES = 1 << 30
# After which what has just started does no more work for the start.
SETTLE_S = 10.0
IDLE_S = 30.0

Sample = dict[str, Any]


def command(*words: str) -> list[str]:
    """``xinfer WORDS``."""
    return [sys.executable, "-m", "xinfer.cli", *words]


def load(url: str, model: str, streams: str) -> list[Sample]:
    """One round of ``xinfer bench`` against a server: a sample for each number of streams."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        words = ["bench", url, "-m", model, "-c", streams, "--rounds", "1", "--json", file.name]
        subprocess.run(command(*words), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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
    server = ("vllm.entrypoints.openai.api_server", "--model", str(MODEL), "--served-model-name", "tiny-chat")
    place = ("--host", "127.0.0.1", "--port", str(port), "--kv-cache-memory-bytes", str(KV_CACHE_BYTES))
    mark = f"bench{port}"
    process = subprocess.Popen(
        [sys.executable, "-m", *server, *place, "--uvicorn-log-level", "warning", *arguments],
        env={**os.environ, MARK: mark},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: requests.get(f"{url}/health", timeout=2).ok)
        yield url
    finally:
        process.terminate()
        process.wait()
        end(of_cluster(mark), 5)


@contextmanager
def xinfer_cluster() -> Iterator[tuple[str, Path, float]]:
    """A cluster without a model; its address, its folder, and how long ``xinfer start`` took, in seconds."""
    home = Path(tempfile.mkdtemp(prefix="xi-", dir="/tmp"))
    port = free_port("127.0.0.1")
    env = {**os.environ, "XINFER_HOME": str(home)}
    try:
        began = time.monotonic()
        words = command("start", "--port", str(port), "--ray-port", str(free_port("127.0.0.1")))
        subprocess.run(words, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        yield f"http://127.0.0.1:{port}", home, time.monotonic() - began
    finally:
        subprocess.run(command("stop", "--drain-timeout", "0"), env=env, check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(home, ignore_errors=True)


def wait_until(holds: Callable[[], bool], timeout_s: float = 180.0) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            if holds():
                return
        except requests.RequestException:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"a server was not ready within {timeout_s:g} s")
        time.sleep(0.2)


def cost_of_idling(home: Path) -> Sample:
    """CPU time per second, in percent of a core, and memory in MiB (PSS), of all processes of a cluster."""
    record = ClusterRecord.load(home)
    assert record
    before = cpu_seconds(record.id)
    time.sleep(IDLE_S)
    after = cpu_seconds(record.id)
    spent = sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())
    memory = sum(each.memory_full_info().pss for each in of_cluster(record.id))
    return {"cpu_percent": 100 * spent / IDLE_S, "memory_mib": memory / 2**20, "processes": len(after)}


def cpu_seconds(cluster_id: str) -> dict[int, float]:
    found: dict[int, float] = {}
    for process in of_cluster(cluster_id):
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        found[process.pid] = times.user + times.system
    return found


def round_of_xinfer(streams: str, samples: dict[str, list[Any]], *, measure_idling: bool) -> None:
    """Start, launch, load through xinfer and directly, and idle."""
    with xinfer_cluster() as (url, home, start_s):
        samples["start_s"].append(start_s)
        if measure_idling:
            time.sleep(SETTLE_S)
            samples["idle without a model"].append(cost_of_idling(home))
        with RESTfulClient(url) as client:
            for _ in range(3):
                began = time.monotonic()
                uid = client.launch_model("tiny-chat", n_gpu=None, wait_ready=True)
                client.get_model(uid).chat([{"role": "user", "content": "Hi"}], generate_config={"max_tokens": 1})
                samples["launch_to_first_token_s"].append(time.monotonic() - began)
                client.terminate_model(uid)
                time.sleep(SETTLE_S)
            uid = client.launch_model("tiny-chat", n_gpu=None, wait_ready=True)
            ((replica,),) = [each["replica_statuses"] for each in client.get_instance_info(None, uid)]
        samples["xinfer"].append(load(url, uid, streams))
        samples["xinfer's engine, directly"].append(load(replica["model_address"], uid, streams))
        if measure_idling:
            time.sleep(SETTLE_S)
            samples["idle with tiny-chat"].append(cost_of_idling(home))


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
