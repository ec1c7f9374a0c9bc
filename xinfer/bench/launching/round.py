"""One round: each row once, one after the other, so that a drift of the machine meets them all."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial

from xinfer.bench.launching import launches, memory
from xinfer.bench.launching.bare import started_bare
from xinfer.bench.launching.bench_cluster import BenchCluster
from xinfer.bench.launching.cluster import Cluster, own_cluster
from xinfer.bench.launching.record import Record
from xinfer.bench.launching.row import Name
from xinfer.bench.launching.sample import Sample
from xinfer.bench.launching.serve import served
from xinfer.bench.launching.subject import Subject
from xinfer.client import RESTfulClient
from xinfer.errors import XinferError

_SILENCE_S = 120.0

Measure = Callable[[BenchCluster], Sample]

_ON_ONE_CLUSTER: dict[Name, Measure] = {
    "cold": launches.cold,  # first, while there is no warm host
    "warm": launches.warm,
    "memory": memory.measured_host,
    "terminate": launches.terminate,
    "replica": launches.second_replica,
    "wake": launches.wake,
}
_WITHOUT_HOST: dict[Name, Measure] = {"off": memory.without_host, "plain": launches.plain}


class Round:
    """What is done for the rows that were asked for. Every cluster it starts is gone when it ends, however it ends."""

    def __init__(self, subject: Subject, record: Record) -> None:
        self._subject = subject
        self._record = record

    def run(self, names: Collection[Name]) -> None:
        if "bare" in names:
            self._record.take("bare", self._bare)
        self._on_cluster({name: each for name, each in _ON_ONE_CLUSTER.items() if name in names})
        if "serve" in names:
            self._record.take("serve", self._serve)
        self._on_cluster({name: each for name, each in _WITHOUT_HOST.items() if name in names}, "--no-warm-host")

    def _bare(self) -> Sample:
        with own_cluster() as cluster:  # of which only the folder is needed
            return started_bare(self._subject.spec, cluster.home)

    def _serve(self) -> Sample:
        with own_cluster() as cluster:
            return served(cluster)

    def _on_cluster(self, measures: dict[Name, Measure], *words: str) -> None:
        """All of these on one cluster, which is started for them if there are any."""
        if not measures:
            return
        with own_cluster() as cluster:
            try:
                cluster.start(*words)
            except XinferError as error:
                for name in measures:
                    self._record.miss(name, error.message)
                return
            self._take_all(measures, cluster)

    def _take_all(self, measures: dict[Name, Measure], cluster: Cluster) -> None:
        with RESTfulClient(cluster.endpoint, timeout=_SILENCE_S) as client:
            lab = BenchCluster(cluster, client, self._subject)
            for name, measure in measures.items():
                self._record.take(name, partial(_cleared, measure, lab))


def _cleared(measure: Measure, lab: BenchCluster) -> Sample:
    """What was measured; the model is gone afterwards. An interrupt leaves it to the end of the cluster."""
    try:
        sample = measure(lab)
    except XinferError:
        with suppress(XinferError):  # the first error is the one to tell of
            lab.clear()
        raise
    lab.clear()
    return sample
