"""The outcome of a soak test: goals, tables, JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.soak.cluster import Role
from tests.soak.kills import Kill
from tests.soak.launches import LaunchResult
from tests.soak.load import Attempt, Result, Shape
from tests.soak.resources import MIB, Comparison, Growth, Sample
from tests.soak.settings import SoakSettings

_SMALLEST_GROWTH_BYTES = 2 * MIB
"""Less than this is no growth: allocators of a process of 12 MiB take memory in pieces of that order."""
_DESCRIPTORS = 5
"""Connections that are kept alive come and go."""
_MANY_DESCRIPTORS = frozenset({Role.LOG_MONITOR})
"""Keeps up to 200 log files open and closes those of dead processes only then (Ray's ``LOG_MONITOR_MAX_OPEN_FILES``)."""


@dataclass(frozen=True, slots=True)
class Goal:
    """One thing that is demanded, and what was measured."""

    name: str
    wanted: str
    measured: str
    met: bool


@dataclass(frozen=True)
class Report:
    """Everything that was measured."""

    settings: SoakSettings
    seconds: float
    results: Sequence[Result]
    kills: Sequence[Kill]
    launches: Sequence[LaunchResult]
    resources: Comparison
    series: Sequence[Sample]
    """Memory and descriptors of each role from before each kill, in which a leak shows as a slope."""
    in_flight: float
    in_engines: float
    shared_memory: Sequence[str]
    """Files left in ``/dev/shm`` after the last snapshot."""
    after_stop: Sequence[str]
    """What was left after the cluster's stop."""
    errors: Sequence[str] = field(default_factory=list)
    """Why the test itself is not to be relied on."""

    @property
    def success_with_retries(self) -> float:
        return _share(result.succeeded for result in self.results)

    @property
    def success_without_retries(self) -> float:
        return _share(result.succeeded_at_once for result in self.results)

    @property
    def recovery_s(self) -> dict[str, float | None]:
        """The longest time of each part; None if one did not recover."""
        longest: dict[str, float | None] = {}
        for kill in self.kills:
            known = longest.get(kill.part, 0.0)
            longest[kill.part] = None if known is None or kill.recovered_s is None else max(known, kill.recovered_s)
        return longest

    @property
    def sanity_errors(self) -> list[str]:
        """What makes the figures doubtful, or no failure of a part explains."""
        found = list(self.errors)
        if len(self.results) < self.seconds:
            found.append(f"only {len(self.results)} requests in {self.seconds:.0f} s")
        missing_shapes = set(Shape) - {result.shape for result in self.results}
        if missing_shapes:
            found.append(f"no request of these kinds: {', '.join(sorted(missing_shapes))}")
        if not self.kills:
            found.append("nothing was killed")
        not_killed = set(self.settings.parts) - {kill.part for kill in self.kills}
        if not_killed and len(self.kills) >= len(self.settings.parts):
            found.append(f"never killed: {', '.join(sorted(not_killed))}")
        wrong = Counter(attempt.wrong for attempt in self._attempts() if attempt.wrong)
        return found + [f"{sentence}, {count} times" for sentence, count in wrong.items()]

    @property
    def goals(self) -> list[Goal]:
        """All goals, met or not."""
        settings = self.settings
        with_retries, without = self.success_with_retries, self.success_without_retries
        failed = [f"{each.uid}: {each.failure}" for each in self.launches if each.failure]
        lost = [f"{kill.part}: {kill.missing}" for kill in self.kills if kill.recovered_s is None]
        left = [f"{count} {role}" for role, count in self.resources.left_over.items()]
        before, after = self.resources.zombies
        same, successors = self._growths(is_successor=False), self._growths(is_successor=True)
        bounded = [each for each in same + successors if each.role not in _MANY_DESCRIPTORS]
        more_descriptors = [each for each in bounded if each.descriptors > _DESCRIPTORS]
        limit = f"at most {settings.memory_growth:.0%} more"
        return [
            Goal(
                "success with retries",
                f"{settings.success_with_retries}",
                f"{with_retries:.5f}",
                with_retries >= settings.success_with_retries,
            ),
            Goal(
                "success without retries",
                f"{settings.success_without_retries}",
                f"{without:.5f}",
                without >= settings.success_without_retries,
            ),
            _nothing("launches that failed", failed),
            _nothing("parts that did not recover", lost),
            Goal("requests in flight, gauge", "0", f"{self.in_flight:g}", self.in_flight == 0),
            Goal("requests in engines", "0", f"{self.in_engines:g}", self.in_engines == 0),
            _nothing("processes left over", left),
            Goal("zombies", "none more", f"{before} before, {after} after", after <= before),
            _nothing("files left in /dev/shm", self.shared_memory),
            _nothing("left after the stop", self.after_stop),
            Goal(
                "file descriptors",
                f"at most {_DESCRIPTORS} more",
                ", ".join(f"{each.role} {each.descriptors:+d}" for each in more_descriptors) or "as before",
                not more_descriptors,
            ),
            self._memory_goal("memory of the same process", limit, same),
            self._memory_goal("memory of a successor", limit, successors),
        ]

    @property
    def missed(self) -> list[Goal]:
        return [goal for goal in self.goals if not goal.met]

    def as_json(self) -> dict[str, Any]:
        return {
            "settings": asdict(self.settings),
            "seconds": round(self.seconds, 1),
            "requests": {shape: sum(result.shape is shape for result in self.results) for shape in Shape},
            "success_with_retries": self.success_with_retries,
            "success_without_retries": self.success_without_retries,
            "slowest_request_s": max((result.seconds for result in self.results), default=0.0),
            "failures": dict(Counter(attempt.failure for attempt in self._attempts() if attempt.failure)),
            "recovery_s": self.recovery_s,
            "kills": [{**asdict(kill), "failed_attempts": len(self._failures_after(kill))} for kill in self.kills],
            "launches": [asdict(launch) for launch in self.launches],
            "processes": self.resources.counts,
            "zombies": self.resources.zombies,
            "memory": [asdict(growth) for growth in self.resources.growths],
            "series": [asdict(sample) for sample in self.series],
            "in_flight": self.in_flight,
            "in_engines": self.in_engines,
            "shared_memory": list(self.shared_memory),
            "after_stop": list(self.after_stop),
            "goals": [asdict(goal) for goal in self.goals],
            "sanity_errors": self.sanity_errors,
        }

    def write_json(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.as_json(), indent=2) + "\n")

    def lines(self) -> Iterator[str]:
        """The report as text."""
        yield f"{len(self.results)} requests in {self.seconds:.0f} s, seed {self.settings.seed}"
        yield from self._request_lines()
        yield from self._kill_lines()
        yield from self._launch_lines()
        yield from self._resource_lines()
        yield ""
        yield f"{'goal':<28} {'wanted':<18} measured"
        for goal in self.goals:
            yield f"{goal.name:<28} {goal.wanted:<18} {goal.measured}{'' if goal.met else '   MISSED'}"
        for error in self.sanity_errors:
            yield f"sanity error: {error}"

    def _request_lines(self) -> Iterator[str]:
        yield ""
        yield f"{'requests':<18} {'number':>7} {'at once':>9} {'retried':>9} {'slowest':>9}"
        for shape in Shape:
            chosen = [result for result in self.results if result.shape is shape]
            at_once = _share(result.succeeded_at_once for result in chosen)
            in_the_end = _share(result.succeeded for result in chosen)
            slowest = max((result.seconds for result in chosen), default=0.0)
            yield f"{shape:<18} {len(chosen):>7} {at_once:>9.4f} {in_the_end:>9.4f} {slowest:>7.1f} s"
        failures = Counter(attempt.failure for attempt in self._attempts() if attempt.failure)
        for failure, count in failures.most_common(10):
            yield f"  {count:>4} x {failure}"

    def _kill_lines(self) -> Iterator[str]:
        yield ""
        yield f"{'killed':<18} {'times':>7} {'longest recovery':>18} {'failed attempts':>16}"
        for part, longest in self.recovery_s.items():
            kills = [kill for kill in self.kills if kill.part == part]
            failed = sum(len(self._failures_after(kill)) for kill in kills)
            took = "not in time" if longest is None else f"{longest:.1f} s"
            yield f"{part:<18} {len(kills):>7} {took:>18} {failed:>16}"

    def _launch_lines(self) -> Iterator[str]:
        slowest = max((launch.ready_s or 0.0 for launch in self.launches), default=0.0)
        yield ""
        yield f"{len(self.launches)} launches of a second model, the slowest READY after {slowest:.1f} s"
        for launch in self.launches:
            for error in Counter(launch.retried):
                yield f"  {launch.uid} repeated a step after {error}"

    def _resource_lines(self) -> Iterator[str]:
        yield ""
        yield f"{'processes':<22} {'before':>7} {'after':>7}"
        for role, (before, after) in self.resources.counts.items():
            yield f"{role:<22} {before:>7} {after:>7}"
        yield ""
        yield f"{'process':<22} {'MiB before':>11} {'after':>7} {'growth':>8} {'descriptors':>16}"
        for each in self.resources.growths:
            was, now = each.before, each.after
            yield (
                f"{each.role:<22} {was.rss_bytes / MIB:>11.1f} {now.rss_bytes / MIB:>7.1f} {each.memory:>+8.1%}"
                f" {was.descriptors:>7} to {now.descriptors:<5} {'successor' if each.is_successor else ''}"
            ).rstrip()

    def _memory_goal(self, name: str, limit: str, growths: list[Growth]) -> Goal:
        worst = max(growths, key=lambda growth: growth.memory, default=None)
        over = [each for each in growths if self._is_over(each)]
        if over:
            measured = ", ".join(f"{each.role} {each.memory:+.1%}" for each in over)
        else:
            measured = f"{worst.role} {worst.memory:+.1%}" if worst else "none"
        return Goal(name, limit, measured, not over)

    def _is_over(self, growth: Growth) -> bool:
        return growth.memory > self.settings.memory_growth and growth.memory_bytes > _SMALLEST_GROWTH_BYTES

    def _growths(self, *, is_successor: bool) -> list[Growth]:
        return [growth for growth in self.resources.growths if growth.is_successor is is_successor]

    def _attempts(self) -> Iterator[Attempt]:
        for result in self.results:
            yield from result.attempts

    def _failures_after(self, kill: Kill) -> list[Attempt]:
        """Failed attempts from this kill to the next one."""
        later = [each.at for each in self.kills if each.at > kill.at]
        until = min(later, default=float("inf"))
        return [each for each in self._attempts() if each.failure and kill.at <= each.ended_at < until]


def _share(outcomes: Iterator[bool]) -> float:
    """Of those that are true; 1 if there are none."""
    all_of_them = list(outcomes)
    return sum(all_of_them) / len(all_of_them) if all_of_them else 1.0


def _nothing(name: str, found: Sequence[str]) -> Goal:
    return Goal(name, "none", "; ".join(found) or "none", not found)
