"""A day of requests, replayed against policies: ``python -m tests.supervisor.registry.autoscaling.simulation [SEED]``.

The day has the shape of public traces of chat services: quiet at night with two silent hours, a peak before noon and one in the
evening, and bursts of several times the usual rate at random. It prints the replica-hours, the share of requests that waited
longer than ``SLO_S`` for their place, the 99th percentile of that wait, and the changes of the number of replicas, for each
policy: fixed sizes, a number of requests per replica looked at every 15 seconds, the stable and the panic window of AIBrix (as
Knative has them), and xinfer's with each kind of target. Beside xinfer's it prints what the two others take for the same share of
waits, by targets of their own. ``--plot FILE`` draws the day.
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from supervisor.registry.autoscaling.autoscaler import Autoscaler, Bounds
from tests.supervisor.registry.autoscaling.loads import TICK_S, Cluster, poisson, run
from xinfer.messages import AutoscalingConfig

SLO_S = 2.0
DAY_S = 86_400
MOST = 16
TARGET = 6.0
"""Requests per replica; a replica has 8 places."""
Policy = Callable[[Cluster], int]


def day(seed: int) -> list[float]:
    """The rate in each tick of a day, in requests per second."""
    source = random.Random(seed)
    rates: list[float] = []
    for number in range(int(DAY_S / TICK_S)):
        hour = number * TICK_S / 3600
        usual = 0.3 + 6.0 * _hump(hour, 11, 3) + 7.5 * _hump(hour, 20, 2)
        if 3 <= hour < 5:
            usual = 0.0
        rates.append(usual)
    for _ in range(24):
        begin = source.randrange(len(rates))
        length = int(source.uniform(30, 240) / TICK_S)
        factor = source.uniform(2, 4)
        for number in range(begin, min(len(rates), begin + length)):
            rates[number] *= factor
    return rates


def _hump(hour: float, top: float, width: float) -> float:
    return math.exp(-(((hour - top) / width) ** 2))


def fixed(replicas: int) -> Policy:
    """Always as many."""
    return lambda _: replicas


def xinfer(config: AutoscalingConfig) -> Policy:
    """What this project does."""
    autoscaler = Autoscaler(config)
    return lambda cluster: autoscaler.decide(cluster.load(), Bounds(1, MOST), cluster.now).desired


@dataclass
class QueueDepth:
    """As many as the requests now need, looked at every 15 seconds."""

    target: float = TARGET
    at: float = 0.0

    def __call__(self, cluster: Cluster) -> int:
        if cluster.now - self.at < 15:
            return cluster.desired
        self.at = cluster.now
        return _clamped(cluster.in_flight / self.target)


@dataclass
class Mean:
    """Of the last seconds."""

    length_s: float
    samples: deque[tuple[float, int]] = field(default_factory=deque)
    total: int = 0

    def add(self, now: float, count: int) -> float:
        """The mean with this sample."""
        self.samples.append((now, count))
        self.total += count
        while self.samples[0][0] < now - self.length_s:
            self.total -= self.samples.popleft()[1]
        return self.total / len(self.samples)


@dataclass
class PanicWindow:
    """AIBrix: the mean of 180 seconds, or that of 60 while it asks for twice what is ready; then nothing is removed."""

    target: float = TARGET
    stable: Mean = field(default_factory=lambda: Mean(180))
    panic: Mean = field(default_factory=lambda: Mean(60))
    panicking_since: float | None = None
    most: int = 0

    def __call__(self, cluster: Cluster) -> int:
        in_flight = cluster.in_flight
        stable = _clamped(self.stable.add(cluster.now, in_flight) / self.target)
        panic = _clamped(self.panic.add(cluster.now, in_flight) / self.target)
        if panic >= 2 * cluster.ready:
            if self.panicking_since is None:
                self.most = 0
            self.panicking_since = cluster.now
        elif self.panicking_since is not None and cluster.now - self.panicking_since >= self.stable.length_s:
            self.panicking_since = None
        if self.panicking_since is None:
            return stable
        self.most = max(self.most, panic, cluster.desired)
        return self.most


def _clamped(replicas: float) -> int:
    return min(max(1, math.ceil(replicas - 1e-9)), MOST)


REFERENCES: dict[str, Callable[[float], Policy]] = {
    "requests per replica, every 15 s": QueueDepth,
    "stable 180 s, panic 60 s": PanicWindow,
}
"""By name, each for its target."""
TARGETS = (2.5, 3.0, 3.5, 4.0, 5.0, 6.0)


def policies() -> dict[str, Policy]:
    """All, by the name under which they are shown."""
    return {
        "fixed 4": fixed(4),
        "fixed 8": fixed(8),
        "fixed 16": fixed(16),
        **{name: make(TARGET) for name, make in REFERENCES.items()},
        "xinfer, engines say when full": xinfer(AutoscalingConfig(1, MOST)),
        "xinfer, target requests": xinfer(AutoscalingConfig(1, MOST, target_ongoing_requests=TARGET)),
        "xinfer, target TTFT 0.5 s": xinfer(AutoscalingConfig(1, MOST, target_ttft_s=0.5)),
    }


@dataclass(frozen=True)
class Outcome:
    """What one policy made of a day."""

    hours: float
    missed: float
    """The share of requests that waited longer than ``SLO_S``."""
    p99_s: float
    changes: int
    desired: list[int]
    """In each tick."""


def replay(arrivals: Sequence[int], policy: Policy) -> Outcome:
    """Have these arrivals, so many in each tick, at a model that ``policy`` scales."""
    cluster = Cluster()
    desired = run(cluster, arrivals, policy)
    waits = sorted(cluster.waits) + [math.inf] * len(cluster.queue)
    missed = sum(wait > SLO_S for wait in waits) / len(waits)
    p99_s = waits[int(0.99 * (len(waits) - 1))]
    return Outcome(cluster.replica_s / 3600, missed, p99_s, cluster.changes, desired)


def hours_at(missed: float, outcomes: Sequence[Outcome]) -> float | None:
    """The replica-hours for this share of misses, between the two outcomes about it; None beyond all of them.

    Between two, the hours fall with the logarithm of the misses.
    """
    ordered = sorted(outcomes, key=lambda outcome: outcome.missed)
    for below, above in itertools.pairwise(ordered):
        if 0 < below.missed <= missed <= above.missed:
            part = math.log(missed / below.missed) / math.log(above.missed / below.missed)
            return below.hours + part * (above.hours - below.hours)
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", default=1)
    parser.add_argument("--plot", help="write the rate and the number of replicas there, as PNG")
    options = parser.parse_args()
    rates = day(options.seed)
    arrivals = poisson(rates, options.seed)
    print(
        f"seed {options.seed}: {sum(arrivals)} requests of about 4 s in a day, 8 at once in a replica, 8 s to start one"
    )
    print("| policy | replica-hours | waited over 2 s | p99 wait | changes | " + " | ".join(REFERENCES) + " |")
    print("|---|---|---|---|---|---|---|")
    shown: dict[str, list[int]] = {}
    others = [[replay(arrivals, make(target)) for target in TARGETS] for make in REFERENCES.values()]
    for name, policy in policies().items():
        found = replay(arrivals, policy)
        shown[name] = found.desired
        cells = [f"{found.hours:.1f}", f"{found.missed:.2%}", f"{found.p99_s:.1f} s", f"{found.changes}"]
        for outcomes in others:
            hours = hours_at(found.missed, outcomes) if name.startswith("xinfer") else None
            cells.append("" if hours is None else f"{hours:.1f}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    if options.plot:
        plot(rates, shown, options.plot)


def plot(rates: Sequence[float], shown: dict[str, list[int]], file: str) -> None:
    """Draw the rate and the replicas of the policies that change them."""
    from matplotlib import pyplot

    hours = [number * TICK_S / 3600 for number in range(len(rates))]
    names = [name for name in shown if not name.startswith("fixed")]
    figure, axes = pyplot.subplots(1 + len(names), sharex=True, figsize=(9, 2 + 1.3 * len(names)))
    axes[0].plot(hours, rates, linewidth=0.6)
    axes[0].set_ylabel("requests/s")
    for axis, name in zip(axes[1:], names, strict=True):
        axis.step(hours, shown[name], linewidth=0.8)
        axis.set_title(name, fontsize=8)
        axis.set_ylabel("replicas")
    axes[-1].set_xlabel("hour")
    figure.tight_layout()
    figure.savefig(file, dpi=90)


if __name__ == "__main__":
    main()
