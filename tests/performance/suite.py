"""``python -m tests.performance.suite``: bare vLLM, Ray Serve LLM and xinfer, each alone on this machine, in rounds.

Measures tokens per second, TTFT and CPU per chunk against the number of streams, the start of a cluster, a launch, and what an
idle cluster costs. ``BENCH_ROUNDS`` (5) and ``BENCH_STREAMS`` (1,8,32,64,128) change what is measured. Prints tables in Markdown,
the goals with what was reached of them last, writes all samples to ``build/bench.json`` and draws ``build/bench.png``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from tests.performance.goals import BARE, BARE_WITH_PARSERS, DIRECTLY, RAY_SERVE_LLM, XINFER, as_table, goals
from tests.performance.idling import cpu_percent
from tests.performance.servers import PARSERS, ROOT, bare_vllm, bench, ray_serve_llm
from tests.performance.tables import markdown
from worker.cpu_model import computes_16_bits
from xinfer.bench.launching.bench_cluster import wait_for_fork_server
from xinfer.bench.launching.cluster import Cluster, own_cluster
from xinfer.bench.launching.first_token import first_token
from xinfer.bench.launching.subject import completion
from xinfer.client import RESTfulClient
from xinfer.cluster.processes import command_line, of_cluster

TIMEOUT_S = 180.0
# After which what has just started does no more work for the start.
SETTLE_S = 10.0
IDLE_S = 30.0
# So that the moment in which all streams begin at once is a small part of it.
LEVEL_S = "6"
# Requests per second, of 64 tokens: an eighth to a half of what such a server does on two cores.
RATES = "8,16,32"
_COMPILATION = "XINFER_CPU_COMPILATION"

Sample = dict[str, Any]
Loads = dict[str, list[Sample]]
"""The samples of one round by the kind of load, one for each level."""
OTHERS: dict[str, Callable[[], AbstractContextManager[str]]] = {
    BARE: bare_vllm,
    BARE_WITH_PARSERS: partial(bare_vllm, *PARSERS),
    RAY_SERVE_LLM: partial(ray_serve_llm, direct=True),
    "Ray Serve LLM, default": partial(ray_serve_llm, direct=False),
}
if not computes_16_bits():
    # As people start it, it is slow here, and xinfer would be compared with that alone.
    OTHERS[f"{BARE_WITH_PARSERS}, float32"] = partial(bare_vllm, *PARSERS, "--dtype", "float32")


def load(url: str, model: str, streams: str, *, home: Path | None = None, engine: int | None = None) -> Loads:
    """What one server does under all loads; CPU per chunk of the cluster at ``home`` and of the process ``engine`` in it."""
    watched = ["--cpu", f"engine's server={engine}"] if engine else []
    closed = bench(url, model, "-c", streams, "--duration-s", LEVEL_S, *watched, home=home)["levels"]
    # Streams that begin anew when they end keep in step with each other, so their TTFT says little.
    paced = bench(url, model, "--rate", RATES, "--duration-s", LEVEL_S)["levels"]
    return {
        "streams": [_sample(label, level) for label, level in zip(streams.split(","), closed, strict=True)],
        "requests per second": [_sample(label, level) for label, level in zip(RATES.split(","), paced, strict=True)],
    }


def _sample(label: str, level: Mapping[str, Any]) -> Sample:
    return {
        "level": label,
        "tokens_per_s": level["a"]["tokens_per_s"],
        "ttft_p50_ms": level["a"]["ttft_ms"]["p50"],
        "ttft_p90_ms": level["a"]["ttft_ms"]["p90"],
        "errors": level["a"]["errors"],
        "us_per_chunk": {name: cost["us_per_chunk"] for name, cost in level["rounds"][0]["a"]["cpu"].items()},
    }


def cost_of_responses(cluster: Cluster, model: str) -> float:
    """CPU of the supervisor for one complete response of 16 tokens, in microseconds, with eight at a time."""
    options = ("-c", "8", "--no-stream", "--output-tokens", "16", "--duration-s", LEVEL_S)
    (level,) = bench(cluster.endpoint, model, *options, home=cluster.home)["levels"]
    return float(1000 * level["rounds"][0]["a"]["cpu"]["supervisor"]["ms_per_request"])


def engine_server(cluster: Cluster) -> int:
    """The process of the one engine's API server; the engine core, which it has forked, has a name of its own."""
    (server,) = (each for each in of_cluster(cluster.id) if "worker.engine_server" in command_line(each))
    return int(server.pid)


def cost_of_idling(cluster: Cluster) -> Sample:
    """CPU time per second, in percent of a core, and memory in MiB (PSS), of all processes of a cluster."""
    processes = of_cluster(cluster.id)
    percent = cpu_percent(processes, IDLE_S)
    memory = sum(process.memory_full_info().pss for process in of_cluster(cluster.id))
    return {
        "cpu_percent": percent,
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


def compile_once() -> None:
    """Have the model compiled, as it is after its first launch, and as other servers have it after their first start."""
    with own_cluster() as cluster, RESTfulClient(cluster.endpoint) as client:
        os.environ[_COMPILATION] = "before"
        try:
            cluster.start()
        finally:
            del os.environ[_COMPILATION]
        client.launch_model("tiny-chat", n_gpu=None, wait_ready=True)


def start_with_launch() -> float:
    """Seconds until ``xinfer start --launch tiny-chat`` has returned, with the model ready."""
    with own_cluster() as cluster:
        began = time.monotonic()
        cluster.start("--launch", "tiny-chat")
        return time.monotonic() - began


def idle_without_fork_server() -> Sample:
    """What a cluster costs that has neither a model nor a fork server."""
    with own_cluster() as cluster:
        cluster.start("--no-warm-host")
        time.sleep(SETTLE_S)
        return cost_of_idling(cluster)


def round_of_xinfer(streams: str, samples: dict[str, list[Any]], *, measure_idling: bool, directly_first: bool) -> None:
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
        address = replica["model_address"]
        engine = engine_server(cluster)
        # The engine is faster the second time: each way comes first in half of the rounds.
        ways = {XINFER: cluster.endpoint, DIRECTLY: address}
        for name in sorted(ways, reverse=directly_first):
            samples[name].append(load(ways[name], uid, streams, home=cluster.home, engine=engine))
        samples["supervisor_us_per_response"].append(cost_of_responses(cluster, uid))
        if measure_idling:
            time.sleep(SETTLE_S)
            samples["idle with tiny-chat"].append(cost_of_idling(cluster))


def table(samples: Mapping[str, list[Loads]], load: str, field: str, digits: int) -> str:
    """Medians over the rounds, a row for each server and a column for each level of a kind of load."""
    levels = [each["level"] for each in next(iter(samples.values()))[0][load]]
    rows = []
    for name, rounds in samples.items():
        medians = [median(each[load][column][field] for each in rounds) for column in range(len(levels))]
        rows.append([name, *(f"{value:.{digits}f}" for value in medians)])
    return markdown([f"{field}, {load}", *levels], rows)


def costs_per_chunk(rounds: list[Loads]) -> str:
    """Medians over the rounds, in microseconds of CPU: a row for each process."""
    columns = list(zip(*(each["streams"] for each in rounds), strict=True))
    rows = []
    for name in columns[0][0]["us_per_chunk"]:
        medians = [median(sample["us_per_chunk"][name] for sample in column) for column in columns]
        rows.append([name, *(f"{value:.0f}" for value in medians)])
    return markdown(["µs/chunk, streams", *(column[0]["level"] for column in columns)], rows)


def draw(samples: Mapping[str, list[Loads]], file: Path) -> None:
    """Medians over the rounds, a line for each server: tokens per second by streams, and TTFT by requests per second."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    fields = {
        "streams": ("tokens_per_s", "tokens per second", "linear"),
        "requests per second": ("ttft_p50_ms", "TTFT, p50, ms", "log"),
    }
    for axes, (kind, (field, label, scale)) in zip(figure.subplots(1, len(fields)), fields.items(), strict=True):
        for name, rounds in samples.items():
            columns = list(zip(*(each[kind] for each in rounds), strict=True))
            levels = [int(column[0]["level"]) for column in columns]
            axes.plot(
                levels, [median(sample[field] for sample in column) for column in columns], marker="o", label=name
            )
        axes.set_xscale("log", base=2)
        axes.set_xticks(levels, [str(level) for level in levels])
        axes.set_xlabel(kind)
        axes.set_ylabel(label)
        axes.set_yscale(scale)
        if scale == "linear":
            axes.set_ylim(bottom=0)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.savefig(file, dpi=90)


def main() -> None:
    """Run all rounds and print what they found."""
    rounds = int(os.environ.get("BENCH_ROUNDS", "5"))
    streams = os.environ.get("BENCH_STREAMS", "1,8,32,64,128")
    servers = [*OTHERS, XINFER, DIRECTLY]
    times = ["start_s", "start_with_launch_s", "launch_to_first_token_s", "supervisor_us_per_response"]
    idle = ["idle without a model", "idle without fork server", "idle with tiny-chat"]
    samples: dict[str, list[Any]] = {name: [] for name in [*servers, *times, *idle]}
    compile_once()
    for number in range(rounds):
        for name, server in OTHERS.items():
            with server() as url:
                samples[name].append(load(url, "tiny-chat", streams))
        round_of_xinfer(streams, samples, measure_idling=number == 0, directly_first=number % 2 == 1)
        samples["start_with_launch_s"].append(start_with_launch())
        print(f"round {number + 1} of {rounds} is done", file=sys.stderr, flush=True)

    samples["idle without fork server"].append(idle_without_fork_server())

    file = ROOT / "build" / "bench.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(samples, indent=1))
    by_server = {name: samples[name] for name in servers}
    draw(by_server, file.with_suffix(".png"))
    print(table(by_server, "streams", "tokens_per_s", 0), end="\n\n")
    for kind in ("streams", "requests per second"):
        print(table(by_server, kind, "ttft_p50_ms", 1), end="\n\n")
    print(table(by_server, "requests per second", "ttft_p90_ms", 1), end="\n\n")
    print(costs_per_chunk(samples["xinfer"]), end="\n\n")
    for name in times:
        print(f"{name}: {median(samples[name]):.2f} ({min(samples[name]):.2f} to {max(samples[name]):.2f})")
    for name in idle:
        print(f"{name}: {samples[name][0]}")
    print()
    print(as_table(goals(samples)))


if __name__ == "__main__":
    main()
