"""``python -m tests.performance.costs``: what streams, models and replicas cost the rest of a cluster, with the fake engine.

Three sweeps, each on a cluster of its own: CPU per streamed chunk against open streams; CPU per request, and of all that is not a
replica or its engine while nobody asks anything, against models that sleep; the same against replicas of one model. Prints tables
in Markdown, writes ``build/costs.json``, and with ``--plot FILE`` draws them. Takes a quarter of an hour.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import psutil

from tests.performance.fake_models import fake_cluster, launch
from tests.performance.idling import cpu_percent
from tests.performance.servers import ROOT, bench
from tests.performance.tables import markdown
from xinfer.bench.launching.cluster import Cluster
from xinfer.cluster.processes import command_line, of_cluster

STREAMS = (1, 4, 16, 64, 128, 256, 512, 1024)
MODELS = (1, 10, 50, 100, 200)
REPLICAS = (1, 10, 20, 50)
# Chunks a second of all streams together, which two cores carry with the load generator beside them.
_CHUNKS_PER_S = 4000
_SHORTEST_GAP_S = 0.01
_STREAM_S = 6.0
_REQUESTS = 800
# After which what has just changed causes no more work.
_SETTLE_S = 15.0
_IDLE_S = 20.0
_RUNS_MODELS = ("ServeReplica:xinfer-", "worker.fake.server")


@dataclass(frozen=True)
class Cost:
    """At one point of a sweep."""

    at: int
    us_per_chunk: dict[str, float]
    """CPU by process, in microseconds; empty where nothing streams."""
    us_per_request: dict[str, float]
    """Of whole responses; empty where streams are the load."""
    idle_percent: float | None
    """Of a core, without replicas and engines; None where streams are the load."""


def level(cluster: Cluster, uid: str, *options: str) -> dict[str, dict[str, float]]:
    """One level of ``xinfer bench``: CPU per unit of work by process. Raises ``RuntimeError`` if a request failed."""
    found = bench(cluster.endpoint, uid, *options, home=cluster.home)["levels"][0]["rounds"][0]["a"]
    if found["errors"]:
        raise RuntimeError(f"{uid}: {found['errors']}")
    costs: dict[str, dict[str, float]] = found["cpu"]
    return costs


def per_request(cluster: Cluster, uid: str) -> dict[str, float]:
    options = ("--no-stream", "--output-tokens", "16", "--prompt-tokens", "32", "-c", "16", "-n", str(_REQUESTS))
    return {name: 1000 * cost["ms_per_request"] for name, cost in level(cluster, uid, *options).items()}


def idle_percent(cluster: Cluster) -> float:
    """CPU of a core that all take who run no model, while nobody asks anything."""
    others = [process for process in of_cluster(cluster.id) if not _runs_model(process)]
    return cpu_percent(others, _IDLE_S)


def _runs_model(process: psutil.Process) -> bool:
    command = command_line(process)
    return any(part in command for part in _RUNS_MODELS)


def against_streams(points: Iterable[int]) -> Iterator[Cost]:
    """Streams whose chunks come at a pace that two cores can carry."""
    with fake_cluster() as (cluster, client):
        for streams in points:
            gap_s = max(_SHORTEST_GAP_S, streams / _CHUNKS_PER_S)
            launch(client, "paced", gap_s=gap_s, request_limits=2 * streams)
            count = str(max(8, int(_STREAM_S / gap_s)))
            options = ("-c", str(streams), "-n", str(streams), "--output-tokens", count, "--prompt-tokens", "32")
            costs = level(cluster, "paced", *options)
            client.terminate_model("paced")
            yield Cost(streams, {name: cost["us_per_chunk"] for name, cost in costs.items()}, {}, None)


def against_models(points: Iterable[int]) -> Iterator[Cost]:
    """One model that answers, all others asleep."""
    with fake_cluster() as (cluster, client):
        launch(client, "awake", tokens=16)
        there = 1
        for models in points:
            for number in range(there, models):
                launch(client, f"asleep-{number}", idle_timeout=86_400)
                client.sleep_model(f"asleep-{number}")
            there = models
            yield _at_rest_and_asked(cluster, "awake", models)


def against_replicas(points: Iterable[int]) -> Iterator[Cost]:
    """Replicas of one model."""
    with fake_cluster() as (cluster, client):
        launch(client, "many", tokens=16, request_limits=200)
        for replicas in points:
            client.scale_model("many", replicas)
            while client.get_model_scaling("many")["ready"] < replicas:
                time.sleep(0.5)
            yield _at_rest_and_asked(cluster, "many", replicas)


def _at_rest_and_asked(cluster: Cluster, uid: str, at: int) -> Cost:
    time.sleep(_SETTLE_S)
    idle = idle_percent(cluster)
    return Cost(at, {}, per_request(cluster, uid), idle)


def table(title: str, costs: Sequence[Cost]) -> str:
    """A row for each point, a column for each process and unit."""
    columns: dict[str, list[str]] = {title: [f"{cost.at:,}" for cost in costs]}
    for name in costs[0].us_per_chunk:
        columns[f"{name}, µs/chunk"] = [f"{cost.us_per_chunk[name]:.1f}" for cost in costs]
    for name in costs[0].us_per_request:
        columns[f"{name}, µs/request"] = [f"{cost.us_per_request[name]:.0f}" for cost in costs]
    if costs[0].idle_percent is not None:
        columns["idle cluster, % of a core"] = [f"{cost.idle_percent:.1f}" for cost in costs]
    return markdown(list(columns), zip(*columns.values(), strict=True))


def draw(sweeps: dict[str, list[Cost]], file: Path) -> None:
    """A plot for each sweep: CPU per chunk, or CPU per request and what the idle cluster takes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), layout="constrained")
    for axes, (title, costs) in zip(figure.subplots(1, len(sweeps)), sweeps.items(), strict=True):
        at = [cost.at for cost in costs]
        unit = "us_per_chunk" if costs[0].us_per_chunk else "us_per_request"
        for name in getattr(costs[0], unit):
            axes.plot(at, [getattr(cost, unit)[name] for cost in costs], marker="o", label=name)
        axes.set_xlabel(title)
        axes.set_ylabel(f"CPU, µs per {unit.removeprefix('us_per_')}")
        axes.set_ylim(bottom=0)
        if costs[0].us_per_chunk:
            axes.set_xscale("log", base=2)
        else:
            beside = axes.twinx()
            beside.plot(
                at, [cost.idle_percent for cost in costs], color="C3", ls="--", marker=".", label="idle cluster"
            )
            beside.set_ylabel("CPU of the idle cluster, % of a core")
            beside.set_ylim(bottom=0)
            beside.legend(loc="lower right")
        axes.legend(loc="upper left")
    figure.savefig(file, dpi=90)


@click.command()
@click.option("--plot", type=click.Path(path_type=Path), help="File for the plot.")
def main(plot: Path | None) -> None:
    """Run all three, one after the other."""
    sweeps = {
        "open streams": list(against_streams(STREAMS)),
        "models that sleep": list(against_models(MODELS)),
        "replicas": list(against_replicas(REPLICAS)),
    }
    file = ROOT / "build" / "costs.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({title: [asdict(cost) for cost in costs] for title, costs in sweeps.items()}, indent=1))
    for title, costs in sweeps.items():
        print(table(title, costs), end="\n\n")
    if plot:
        draw(sweeps, plot)


if __name__ == "__main__":
    main()
