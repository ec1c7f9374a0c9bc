"""What processes hold of the machine's memory."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from xinfer.bench.launching import host
from xinfer.bench.launching.bench_cluster import BenchCluster
from xinfer.bench.launching.sample import Sample
from xinfer.errors import LaunchFailed

_SHOWS_S = 3.0
"""A host that is started with the node would be there by then."""
_PRIVATE = ("Private_Clean", "Private_Dirty", "Private_Hugetlb")


@dataclass(frozen=True, slots=True)
class Use:
    """Of several processes together, in MiB."""

    pss: float
    """With pages that several share divided among them."""
    private: float
    """What would be free without them: pages that nobody shares."""


def use(pids: Iterable[int]) -> Use:
    """Of the processes that are there."""
    rollups = [_kib(Path(f"/proc/{pid}/smaps_rollup")) for pid in pids]
    pss = sum(rollup.get("Pss", 0) for rollup in rollups)
    private = sum(rollup.get(name, 0) for rollup in rollups for name in _PRIVATE)
    return Use(pss / 1024, private / 1024)


def measured_host(lab: BenchCluster) -> Sample:
    """The idle warm host's own memory in MiB, beside a running engine; the parts have the rest of the figures."""
    lab.wait_for_host()
    idle = use(_pids(lab))
    lab.launch("memory")
    # It may have been replaced.
    lab.wait_for_host()
    engines = {process.pid for process in lab.footprint("memory").processes}
    beside = use(pid for pid in _pids(lab) if pid not in engines)
    return Sample(
        beside.private,
        {
            "idle_pss": idle.pss,
            "idle_private": idle.private,
            "beside_pss": beside.pss,
            "beside_private": beside.private,
        },
    )


def without_host(lab: BenchCluster) -> Sample:
    """How many processes of a warm host a cluster has that was told to have none."""
    time.sleep(_SHOWS_S)
    return Sample(len(host.processes(lab.cluster.id)))


def _pids(lab: BenchCluster) -> list[int]:
    pids = [process.pid for process in host.processes(lab.cluster.id)]
    if not pids:
        raise LaunchFailed("There is no process of a warm host.")
    return pids


def _kib(rollup: Path) -> dict[str, int]:
    """Lines like ``Pss:  123 kB``; none of a process that is gone."""
    try:
        lines = [line.split() for line in rollup.read_text().splitlines()]
    except OSError:
        return {}
    return {words[0].rstrip(":"): int(words[1]) for words in lines if words[-1] == "kB"}
