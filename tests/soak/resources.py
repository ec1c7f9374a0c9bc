"""What the cluster's processes hold, and what has grown or was left behind between two snapshots."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.soak.cluster import Role, SoakCluster

SHARED_MEMORY = Path("/dev/shm")
MIB = 1024 * 1024
KEPT_BY_RAY = frozenset({Role.IDLE})
"""Ray keeps as many of these as it likes."""


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """One process."""

    pid: int
    rss_bytes: int
    descriptors: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All processes of the cluster at one moment."""

    processes: dict[Role, list[ProcessUse]]
    zombies: int
    mapped: frozenset[str]
    """Names in ``/dev/shm`` that the cluster's processes have mapped, Ray's object store apart."""

    @classmethod
    def of(cls, cluster: SoakCluster) -> Snapshot:
        processes: dict[Role, list[ProcessUse]] = {}
        mapped: set[str] = set()
        pids: set[int] = set()
        for role, running in cluster.by_role().items():
            for process in running:
                try:
                    use = ProcessUse(process.pid, process.memory_info().rss, process.num_fds())
                except psutil.Error:
                    continue
                processes.setdefault(role, []).append(use)
                mapped |= mapped_by(process.pid)
                pids.add(process.pid)
        return cls(processes, _zombies_of(pids), frozenset(mapped))

    def count(self, role: Role) -> int:
        return len(self.processes.get(role, []))


@dataclass(frozen=True, slots=True)
class Sample:
    """What all processes of each role hold together at one moment."""

    at: float
    """Monotonic, in seconds."""
    rss_bytes: dict[Role, int]
    descriptors: dict[Role, int]

    @classmethod
    def of(cls, snapshot: Snapshot) -> Sample:
        rss = {role: sum(use.rss_bytes for use in uses) for role, uses in snapshot.processes.items()}
        descriptors = {role: sum(use.descriptors for use in uses) for role, uses in snapshot.processes.items()}
        return cls(time.monotonic(), rss, descriptors)


def mapped_by(pid: int) -> set[str]:
    """Names of files in ``/dev/shm`` that the process has mapped."""
    try:
        maps = Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return set()
    mark = f"{SHARED_MEMORY}/"
    names = {line.rpartition(mark)[2] for line in maps.splitlines() if mark in line}
    return {name for name in names if not name.startswith("plasma") and not name.endswith("(deleted)")}


def _zombies_of(pids: set[int]) -> int:
    count = 0
    for process in psutil.process_iter(["status", "ppid"]):
        if process.info["status"] == psutil.STATUS_ZOMBIE and process.info["ppid"] in pids:
            count += 1
    return count


@dataclass(frozen=True, slots=True)
class Growth:
    """One process, or one that was killed and its successor."""

    role: Role
    before: ProcessUse
    after: ProcessUse

    @property
    def is_successor(self) -> bool:
        return self.before.pid != self.after.pid

    @property
    def memory(self) -> float:
        """As a share: 0.05 for 5 % more."""
        return self.after.rss_bytes / self.before.rss_bytes - 1

    @property
    def memory_bytes(self) -> int:
        return self.after.rss_bytes - self.before.rss_bytes

    @property
    def descriptors(self) -> int:
        return self.after.descriptors - self.before.descriptors


@dataclass(frozen=True, slots=True)
class Comparison:
    """What has changed from the first snapshot to the last."""

    growths: list[Growth]
    counts: dict[Role, tuple[int, int]]
    zombies: tuple[int, int]

    @classmethod
    def of(cls, before: Snapshot, after: Snapshot) -> Comparison:
        growths: list[Growth] = []
        counts: dict[Role, tuple[int, int]] = {}
        for role in Role:
            if before.count(role) or after.count(role):
                counts[role] = (before.count(role), after.count(role))
            growths += _pairs(role, before.processes.get(role, []), after.processes.get(role, []))
        return cls(growths, counts, (before.zombies, after.zombies))

    @property
    def left_over(self) -> dict[Role, int]:
        """By how many each role has grown."""
        grown = {role: after - before for role, (before, after) in self.counts.items() if role not in KEPT_BY_RAY}
        return {role: count for role, count in grown.items() if count > 0}


def _pairs(role: Role, before: list[ProcessUse], after: list[ProcessUse]) -> list[Growth]:
    """The same process where it still runs; the others in the order of their memory."""
    if role in KEPT_BY_RAY:
        return []
    earlier = {use.pid: use for use in before}
    same = [Growth(role, earlier.pop(use.pid), use) for use in after if use.pid in earlier]
    known = {growth.after.pid for growth in same}
    new = sorted((use for use in after if use.pid not in known), key=lambda use: use.rss_bytes)
    gone = sorted(earlier.values(), key=lambda use: use.rss_bytes)
    return same + [Growth(role, old, successor) for old, successor in zip(gone, new, strict=False)]


@dataclass
class SharedMemory:
    """Files in ``/dev/shm`` that the cluster has used so far. Other programs of the machine have files there, too."""

    seen: set[str] = field(default_factory=set)

    def note(self, snapshot: Snapshot) -> None:
        self.seen |= snapshot.mapped

    def left_over(self, mapped: frozenset[str] = frozenset()) -> list[str]:
        """Those that are still there although nobody has them mapped."""
        return sorted(name for name in self.seen - mapped if (SHARED_MEMORY / name).exists())
