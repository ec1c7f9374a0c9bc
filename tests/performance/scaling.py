"""``python -m tests.performance.scaling``: replicas of a real cluster follow a square wave and a ramp.

The engine is the fake one, so that what is measured is the decision and the start of replicas, and not two cores that three
engines share. Prints what was found, and with ``--plot FILE`` draws load, replicas and TTFT over time. Takes ``--minutes`` for
the wave and three more for the ramp.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import quantiles
from typing import Any

import click

from tests.e2e.load import Load, load
from tests.performance.fake_models import fake_cluster, launch
from xinfer.client import RESTfulClient

_SLOTS = 4
_REPLICAS = 3
_PERIOD_S = 120.0
_RAMP_S = 150.0
_SAMPLE_S = 0.5
_WINDOW_S = 5.0
_FEW = 1
_MANY = _SLOTS * _REPLICAS


@dataclass(frozen=True)
class Sample:
    """What holds at one moment, in seconds since the start of the run."""

    at: float
    streams: int
    desired: int
    ready: int


@dataclass
class Run:
    """One load against one model."""

    title: str
    needed: int
    """By how many replicas the desired number has to change, up and down added."""
    began: float = field(default_factory=time.time)
    samples: list[Sample] = field(default_factory=list)
    first_tokens: list[tuple[float, float]] = field(default_factory=list)
    """When each stream's first token came, in seconds since the start of the run, and after how many seconds."""

    @property
    def steps(self) -> int:
        """By how many replicas the desired number has changed, up and down added."""
        return sum(abs(after.desired - before.desired) for before, after in pairwise(self.samples))

    def ttft(self, quantile: int) -> Iterator[tuple[float, float]]:
        """A percentile of each window in which at least two streams began."""
        windows: dict[int, list[float]] = {}
        for at, took in self.first_tokens:
            windows.setdefault(int(at / _WINDOW_S), []).append(took)
        for number, values in sorted(windows.items()):
            if len(values) > 1:
                yield (number + 0.5) * _WINDOW_S, quantiles(values, n=100, method="inclusive")[quantile - 1]


@contextmanager
def recorded(client: RESTfulClient, endpoint: str, uid: str, run: Run) -> Iterator[Load]:
    """Note load and replicas in ``run`` while the block lasts."""
    ended = threading.Event()

    def watch(work: Load) -> None:
        while not ended.wait(_SAMPLE_S):
            scaling = client.get_model_scaling(uid)
            run.samples.append(Sample(time.time() - run.began, work.streams, scaling["desired"], scaling["ready"]))

    with load(endpoint, uid) as work:
        watcher = threading.Thread(target=watch, args=(work,))
        watcher.start()
        try:
            yield work
        finally:
            ended.set()
            watcher.join()
    run.first_tokens = [(at - run.began, took) for at, took in work.first_tokens]


def launch_scaled(client: RESTfulClient, uid: str, config: dict[str, Any]) -> None:
    launch(client, uid, slots=_SLOTS, gap_s=0.15, autoscaling_config={"max_replicas": _REPLICAS, **config})


def square_wave(client: RESTfulClient, endpoint: str, minutes: float) -> Run:
    """Half of each period what a quarter of one replica holds, half of it what three hold."""
    launch_scaled(client, "wave", {"upscale_delay_s": 1, "downscale_delay_s": 15})
    periods = max(1, round(minutes * 60 / _PERIOD_S))
    run = Run("square wave, engines say when they are full", needed=2 * periods * (_REPLICAS - 1))
    with recorded(client, endpoint, "wave", run) as work:
        for _ in range(periods):
            for streams in (_FEW, _MANY):
                work.streams = streams
                time.sleep(_PERIOD_S / 2)
        work.streams = _FEW
        time.sleep(_PERIOD_S / 2)
    client.terminate_model("wave")
    return run


def ramp(client: RESTfulClient, endpoint: str) -> Run:
    """Up to what three replicas hold, stream by stream, and down again, with a target for TTFT."""
    launch_scaled(client, "ramp", {"target_ttft_s": 0.5, "upscale_delay_s": 1, "downscale_delay_s": 15})
    run = Run("ramp, target TTFT 0.5 s", needed=2 * (_REPLICAS - 1))
    with recorded(client, endpoint, "ramp", run) as work:
        steps = [*range(1, _MANY), *range(_MANY, 0, -1)]
        for streams in steps:
            work.streams = streams
            time.sleep(_RAMP_S / len(steps))
        time.sleep(30)
    client.terminate_model("ramp")
    return run


def draw(runs: Sequence[Run], file: Path) -> None:
    """Load and replicas above, TTFT below."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6), layout="constrained")
    axes = figure.subplots(2, len(runs), squeeze=False, sharex="col")
    for (above, below), run in zip(zip(*axes, strict=True), runs, strict=True):
        at = [sample.at for sample in run.samples]
        above.set_title(run.title)
        above.fill_between(at, [sample.streams for sample in run.samples], step="post", alpha=0.2, label="streams")
        above.set_ylabel("streams")
        replicas = above.twinx()
        replicas.step(at, [sample.desired for sample in run.samples], where="post", color="C1", label="desired")
        replicas.step(at, [sample.ready for sample in run.samples], where="post", color="C2", ls="--", label="ready")
        replicas.set_ylim(0, _REPLICAS + 0.5)
        replicas.set_ylabel("replicas")
        replicas.legend(loc="upper right")
        for quantile in (50, 90):
            below.plot(*_columns(run.ttft(quantile)), label=f"p{quantile}")
        below.set_yscale("log")
        below.set_ylabel("TTFT in s")
        below.set_xlabel("seconds")
        below.legend(loc="upper right")
    figure.savefig(file, dpi=90)


def _columns(points: Iterable[tuple[float, float]]) -> tuple[list[float], list[float]]:
    found = list(points)
    return [x for x, _ in found], [y for _, y in found]


@click.command()
@click.option("--minutes", default=10.0, show_default=True, help="How long the square wave lasts.")
@click.option("--plot", type=click.Path(path_type=Path), help="File for the plot.")
def main(minutes: float, plot: Path | None) -> None:
    """Run both, one after the other, on a cluster of their own."""
    with fake_cluster() as (cluster, client):
        runs = [square_wave(client, cluster.endpoint, minutes), ramp(client, cluster.endpoint)]
    for run in runs:
        streams = f"{len(run.first_tokens)} streams, none failed"
        print(f"{run.title}: {streams}; {run.steps} replicas added or removed, {run.needed} needed")
    if plot:
        draw(runs, plot)


if __name__ == "__main__":
    main()
