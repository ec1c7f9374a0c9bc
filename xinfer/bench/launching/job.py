"""One ``xinfer bench-launch``: rounds of measurements, on clusters that are started for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import click

from xinfer.bench import machine
from xinfer.bench.launching import measurements, serve
from xinfer.bench.launching.bare import measure_bare
from xinfer.bench.launching.bench_cluster import BenchCluster
from xinfer.bench.launching.cluster import Cluster, own_cluster
from xinfer.bench.launching.result import Result, RowResult
from xinfer.bench.launching.rows import NAMES, ROWS, Name
from xinfer.bench.launching.sample import Sample
from xinfer.bench.launching.subject import Subject
from xinfer.client import RESTfulClient
from xinfer.errors import XinferError

_SILENCE_S = 120.0
_REASON_CHARACTERS = 400

Measure = Callable[[BenchCluster], Sample]
Measures = dict[Name, Measure]

_WITH_FORK_SERVER: Measures = {
    # First, while there is no warm host.
    "cold": measurements.cold,
    "warm": measurements.warm,
    "memory": measurements.fork_server_memory,
    "terminate": measurements.terminate,
    "replica": measurements.second_replica,
    "wake": measurements.wake,
}
_WITHOUT_FORK_SERVER: Measures = {"off": measurements.without_fork_server, "plain": measurements.plain}


@dataclass(frozen=True, slots=True)
class Job:
    """What to measure, and how often."""

    subject: Subject
    runs: int = 5
    names: Collection[Name] = NAMES

    def run(self) -> Result:
        """Measure; what fails is in the result. Raises ``LaunchRefused`` before anything is started."""
        spec = self.subject.spec
        record = Record(self.names)
        rounds = Round(self.subject, record)
        for number in range(self.runs):
            record.title = f"run {number + 1} of {self.runs}, "
            rounds.run([name for name in self.names if number == 0 or not ROWS[name].once])
        return Result(record.rows, machine.facts(), self._arguments(spec.gpus))

    def _arguments(self, gpus: float) -> dict[str, Any]:
        command = "xinfer start --foreground --launch"
        if serve.checkout():
            command = "make serve"
        return {
            "runs": self.runs,
            "rows": list(self.names),
            "model": self.subject.model_path or self.subject.name,
            "gpus": gpus,
            "engine_args": dict(self.subject.engine_args),
            "serve": command,
        }


class Record:
    """The samples of a run so far, each of which is reported on stderr as it comes."""

    def __init__(self, names: Collection[Name]) -> None:
        self.rows = {name: RowResult(row) for name, row in ROWS.items() if name in names}
        self.title = ""
        """Of the run that is under way."""

    def take(self, name: Name, measure: Callable[[], Sample]) -> None:
        """Measure once more. After an XinferError the sample is missing, and the run goes on."""
        began = time.monotonic()
        try:
            sample = measure()
        except XinferError as error:
            self.miss(name, error.message)
            return
        self.rows[name].samples.append(sample)
        value = f"{sample.value:.2f} {ROWS[name].unit}".strip()
        self._report(f"{name}: {value} (took {time.monotonic() - began:.0f} s)")

    def miss(self, name: Name, reason: str) -> None:
        """Record why there is no sample."""
        reason = _shortened(" ".join(reason.split()))
        self.rows[name].failures.append(reason)
        self._report(f"{name}: failed: {reason}")

    def _report(self, line: str) -> None:
        click.echo(f"{self.title}{line}", err=True)


def _shortened(text: str) -> str:
    if len(text) <= _REASON_CHARACTERS:
        return text
    # An error has what matters at its end.
    return f"... {text[-_REASON_CHARACTERS:]}"


class Round:
    """Each row once. Every cluster that it starts is gone when it ends, also after an error."""

    def __init__(self, subject: Subject, record: Record) -> None:
        self._subject = subject
        self._record = record

    def run(self, names: Collection[Name]) -> None:
        # Each row once and not one row often, so that a drift of the machine meets all rows.
        if "bare" in names:
            self._record.take("bare", self._bare)
        self._on_cluster(_selected(_WITH_FORK_SERVER, names))
        if "serve" in names:
            self._record.take("serve", self._serve)
        self._on_cluster(_selected(_WITHOUT_FORK_SERVER, names), "--no-warm-host")

    def _bare(self) -> Sample:
        # Of the cluster only the folder is needed.
        with own_cluster() as cluster:
            return measure_bare(self._subject.spec, cluster.home)

    def _serve(self) -> Sample:
        with own_cluster() as cluster:
            return serve.measure_serve(cluster)

    def _on_cluster(self, measures: Measures, *options: str) -> None:
        """All of these on one cluster, which is started for them if there are any."""
        if not measures:
            return
        with own_cluster() as cluster:
            try:
                cluster.start(*options)
            except XinferError as error:
                for name in measures:
                    self._record.miss(name, error.message)
                return
            self._take_all(measures, cluster)

    def _take_all(self, measures: Measures, cluster: Cluster) -> None:
        with RESTfulClient(cluster.endpoint, timeout=_SILENCE_S) as client:
            bench = BenchCluster(cluster, client, self._subject)
            for name, measure in measures.items():
                self._record.take(name, partial(_measure_and_clear, measure, bench))


def _selected(measures: Measures, names: Collection[Name]) -> Measures:
    return {name: measure for name, measure in measures.items() if name in names}


def _measure_and_clear(measure: Measure, bench: BenchCluster) -> Sample:
    """One measurement, after which no model is left."""
    # Not in a finally: after an interrupt the cluster ends at once, and its models with it.
    try:
        sample = measure(bench)
    except XinferError:
        # The first error is the one to report.
        with suppress(XinferError):
            bench.clear()
        raise
    bench.clear()
    return sample
