"""What is measured on a cluster: launches to their first token, the end of a model, and the warm host."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from xinfer.bench.launching.bench_cluster import BenchCluster
from xinfer.bench.launching.footprint import Footprint, gpu_used_mib
from xinfer.bench.launching.sample import Clock, Sample
from xinfer.bench.stats import values_of
from xinfer.errors import LaunchFailed

GONE_S = 60.0
_IDLE_TIMEOUT_S = 2.0
_ASLEEP_S = 60.0
_POLL_PERIOD_S = 0.1
_APPEARS_S = 3.0
"""A warm host that is started with the node would be there by then."""


def cold(bench: BenchCluster) -> Sample:
    """A launch on a cluster that has just been started, whether or not its warm host is ready."""
    return _launch(bench, "cold")


def warm(bench: BenchCluster) -> Sample:
    """A launch with the warm host ready."""
    bench.wait_for_fork_server()
    return _launch(bench, "warm")


def plain(bench: BenchCluster) -> Sample:
    """A launch on a cluster that has no warm host: what each launch falls back to."""
    return _launch(bench, "plain")


def second_replica(bench: BenchCluster) -> Sample:
    """One more replica of a model that runs, until it is ready."""
    bench.wait_for_fork_server()
    bench.launch("twice")
    # It may have been replaced.
    bench.wait_for_fork_server()
    clock = Clock()
    bench.client.add_model_replica("twice", replica=1)
    ended = clock.now()
    instance = bench.instance("twice")
    if [replica["status"] for replica in instance["replica_statuses"]] != ["READY", "READY"]:
        raise LaunchFailed("Two replicas are not ready although the second one is said to be there.")
    return clock.sample(ended, bench.moments("twice"))


def wake(bench: BenchCluster) -> Sample:
    """One request to a model that sleeps, to its first token."""
    bench.launch("sleeper", idle_timeout=_IDLE_TIMEOUT_S)
    processes = bench.footprint("sleeper").processes
    _wait_until_asleep(bench)
    # A model is SLEEPING before its processes have ended.
    Footprint(processes).wait_until_gone(GONE_S)
    bench.wait_for_fork_server()
    clock = Clock()
    return clock.sample(bench.first_token("sleeper"), bench.moments("sleeper"))


def terminate(bench: BenchCluster) -> Sample:
    """From the request until nothing is left of the model."""
    before_mib = gpu_used_mib()
    bench.launch("brief")
    bench.first_token("brief")
    footprint = bench.footprint("brief")
    clock = Clock()
    bench.client.terminate_model("brief")
    responded = clock.now()
    footprint.wait_until_gone(GONE_S, before_mib)
    ended = clock.now()
    return Sample(ended - clock.began, {"answered": responded - clock.began, "until gone": ended - responded})


def _launch(bench: BenchCluster, uid: str) -> Sample:
    """From the request to the first token."""
    clock = Clock()
    bench.launch(uid)
    return clock.sample(bench.first_token(uid), bench.moments(uid))


def _wait_until_asleep(bench: BenchCluster) -> None:
    deadline = time.monotonic() + _ASLEEP_S
    while (status := bench.instance("sleeper")["status"]) != "SLEEPING":
        if time.monotonic() > deadline:
            raise LaunchFailed(f"Idle for {_ASLEEP_S:g} s, and it does not sleep ({status}).")
        time.sleep(_POLL_PERIOD_S)


def fork_server_memory(bench: BenchCluster) -> Sample:
    """The idle warm host's own memory in MiB, beside an engine; the parts are its memory alone and beside one."""
    bench.wait_for_fork_server()
    idle = memory_use(_fork_server_pids(bench))
    bench.launch("memory")
    # It may have been replaced.
    bench.wait_for_fork_server()
    # An engine that was forked and kept the warm host's command line counts as one of its processes.
    engine_pids = values_of(bench.footprint("memory").processes, "pid")
    beside = memory_use(set(_fork_server_pids(bench)).difference(engine_pids))
    parts = {
        "idle_pss": idle.pss,
        "idle_private": idle.private,
        "beside_pss": beside.pss,
        "beside_private": beside.private,
    }
    return Sample(beside.private, parts)


def without_fork_server(bench: BenchCluster) -> Sample:
    """How many processes of a warm host there are on a cluster that was started with ``--no-warm-host``."""
    time.sleep(_APPEARS_S)
    return Sample(len(bench.fork_server_processes()))


def _fork_server_pids(bench: BenchCluster) -> list[int]:
    pids: list[int] = values_of(bench.fork_server_processes(), "pid")
    if not pids:
        raise LaunchFailed("There is no process of a warm host.")
    return pids


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Of several processes together, in MiB."""

    pss: float
    """With pages that several share divided among them."""
    private: float
    """What would be free without them: pages that no other process shares."""


def memory_use(pids: Iterable[int]) -> MemoryUse:
    """Of the processes that are still there."""
    kib: Counter[str] = Counter()
    for pid in pids:
        kib.update(_rollup_kib(Path(f"/proc/{pid}/smaps_rollup")))
    private = kib["Private_Clean"] + kib["Private_Dirty"] + kib["Private_Hugetlb"]
    return MemoryUse(kib["Pss"] / 1024, private / 1024)


def _rollup_kib(rollup: Path) -> dict[str, int]:
    """Lines like ``Pss:  123 kB``; none of a process that is gone."""
    try:
        lines = rollup.read_text().splitlines()
    except OSError:
        return {}
    kib: dict[str, int] = {}
    for line in lines:
        words = line.split()
        if words[-1] == "kB":
            kib[words[0].rstrip(":")] = int(words[1])
    return kib
