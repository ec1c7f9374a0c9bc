"""One soak test from start to end."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import requests

from tests.soak.cluster import SoakCluster
from tests.soak.kills import Kill, Killer, NoVictim, deck
from tests.soak.launches import Launches
from tests.soak.load import Load
from tests.soak.report import Report
from tests.soak.resources import Comparison, Sample, SharedMemory, Snapshot
from tests.soak.settings import Part, SoakSettings
from xinfer.cluster.environment import socket_folder
from xinfer.cluster.processes import of_cluster

_GAUGE_TIMEOUT_S = 30.0
"""The registry counts a dead supervisor's requests for another 15 s."""
_PAUSE_AFTER_RECOVERY_S = 2.0


def soak(settings: SoakSettings, say: Callable[[str], None] = print, logs: Path | None = None) -> Report:
    """Run a cluster under load, kill its parts, and report. The cluster's logs are copied to ``logs``."""
    say(f"seed {settings.seed}: starting a cluster")
    with SoakCluster.started(settings, logs) as cluster:
        test = _Test(cluster, settings, say)
        test.run()
        test.look_after_load()
    return test.report()


class _Test:
    def __init__(self, cluster: SoakCluster, settings: SoakSettings, say: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._settings = settings
        self._say = say
        self._load = Load(cluster.endpoint, settings.clients, settings.seed)
        self._launches = Launches(cluster.endpoint, settings.launch_period_s, settings.seed)
        self._killer = Killer(cluster, random.Random(f"{settings.seed}-victims"))
        self._shared_memory = SharedMemory()
        self._series: list[Sample] = []
        self._kills: list[Kill] = []
        self._errors: list[str] = []
        self._seconds = 0.0

    def run(self) -> None:
        """Warm-up, first snapshot, kills under load, warm-up of the successors, last snapshot."""
        settings = self._settings
        self._cluster.launch()
        self._say(f"{settings.warm_up_launches} launches of a second model")
        self._launches.in_a_row(settings.warm_up_launches)
        began = time.monotonic()
        self._say(f"load for {settings.warm_up_s:g} s, then {settings.settle_s:g} s of rest")
        with self._load.running(), self._launches.running():
            time.sleep(settings.warm_up_s)
        self._before = self._settled()

        self._say(f"load and kills for {settings.duration_s:g} s")
        with self._load.running():
            with self._launches.running():
                self._kill_parts()
            time.sleep(settings.warm_up_s)
        self._after = self._settled()
        self._seconds = time.monotonic() - began

    def look_after_load(self) -> None:
        """The gauges, and what is left in shared memory while the cluster still runs."""
        self._in_flight = _until_zero(self._cluster.requests_in_flight)
        self._in_engines = _until_zero(self._cluster.requests_in_engines)
        self._shared_memory_left = self._shared_memory.left_over(self._after.mapped)

    def report(self) -> Report:
        """Everything, once the cluster has been stopped."""
        return Report(
            self._settings,
            self._seconds,
            self._load.results,
            self._kills,
            self._launches.results,
            Comparison.of(self._before, self._after),
            self._series,
            self._in_flight,
            self._in_engines,
            self._shared_memory_left,
            self._after_stop(),
            self._errors,
        )

    def _settled(self) -> Snapshot:
        time.sleep(self._settings.settle_s)
        return self._snapshot()

    def _snapshot(self) -> Snapshot:
        snapshot = Snapshot.of(self._cluster)
        self._shared_memory.note(snapshot)
        self._series.append(Sample.of(snapshot))
        return snapshot

    def _kill_parts(self) -> None:
        settings = self._settings
        began = time.monotonic()
        parts = deck(settings.parts, random.Random(f"{settings.seed}-parts"))
        next_at = began + min(settings.kill_period_s, settings.duration_s) / 2
        tried: set[Part] = set()
        while next_at < began + settings.duration_s or (settings.each_part and tried < set(settings.parts)):
            time.sleep(max(0.0, next_at - time.monotonic()))
            part = next(parts)
            tried.add(part)
            self._snapshot()
            self._kill(part)
            next_at = max(next_at + settings.kill_period_s, time.monotonic() + _PAUSE_AFTER_RECOVERY_S)
        time.sleep(max(0.0, began + settings.duration_s - time.monotonic()))

    def _kill(self, part: Part) -> None:
        try:
            kill = self._killer.kill(part)
        except (NoVictim, requests.RequestException) as error:
            self._errors.append(f"{part} was not killed: {error}")
            return
        self._kills.append(kill)
        if kill.recovered_s is None:
            self._say(f"{part} {kill.pid} killed; not recovered: {kill.missing}")
        else:
            self._say(f"{part} {kill.pid} killed; recovered after {kill.recovered_s:.1f} s")

    def _after_stop(self) -> list[str]:
        left = [f"process {process.pid}" for each in self._cluster.ids for process in of_cluster(each)]
        left += [f"/dev/shm/{name}" for name in self._shared_memory.left_over()]
        folders = [socket_folder(each) for each in self._cluster.ids]
        left += [str(folder) for folder in folders if folder.exists()]
        return left


def _until_zero(gauge: Callable[[], float]) -> float:
    """Its value when it is 0, or after ``_GAUGE_TIMEOUT_S`` seconds; infinite if it cannot be read."""
    deadline = time.monotonic() + _GAUGE_TIMEOUT_S
    while True:
        try:
            value = gauge()
        except requests.RequestException:
            value = float("inf")
        if value == 0 or time.monotonic() > deadline:
            return value
        time.sleep(0.5)
