"""What a turn on a GPU machine shows, and the table of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

LEVELS = (1, 32, 128, 256)
MOST_LEFT_MIB = 64
"""GPU memory that may be counted above the starting value: the driver rounds, and other processes come and go."""
LEAST_RATIO = 0.98
MOST_TTFT_MS = 2.0
MOST_TTFT_PERCENT = 5.0


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the table."""

    part: str
    what: str
    goal: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found; ``reached`` is None where there is no goal."""

    check: str
    found: str
    reached: bool | None = None


def _of_level(streams: int) -> Iterator[tuple[str, Check]]:
    at = f"{streams} stream{'s' if streams > 1 else ''}"
    ttft = {1: f"at most {MOST_TTFT_MS:g} ms", 128: f"at most {MOST_TTFT_PERCENT:g} %"}.get(streams, "")
    yield (
        f"ratio-{streams}",
        Check("larger model", f"throughput through over direct, {at}", f"at least {LEAST_RATIO:g}"),
    )
    yield f"ttft-{streams}", Check("larger model", f"added TTFT, p50, {at}", ttft)
    yield f"busy-{streams}", Check("larger model", f"GPU busy, through and direct, {at}")


CHECKS: Mapping[str, Check] = {
    "machine": Check("machine", "GPU, driver, cores"),
    "versions": Check("machine", "versions"),
    "start": Check("one model", "xinfer start"),
    "launch": Check("one model", "launch of tiny-chat, to ready"),
    "reserved": Check(
        "one model", "GPUs that Ray counts as free: before, with the model, after", "one taken, one back"
    ),
    "own-gpu": Check("one model", "the engine's processes on its GPU, and on others", "some, none"),
    "chat": Check("one model", "chat"),
    "thinking": Check("one model", "thinking switched on, and off, by the request", "reasoning, none"),
    "stream": Check("one model", "a stream's chunks and its end"),
    "terminate": Check("one model", "terminate: processes, port and shared memory gone"),
    "terminate-memory": Check("one model", "GPU memory left after terminate", f"at most {MOST_LEFT_MIB} MiB"),
    "kill-memory": Check("one model", "GPU memory left after kill -9 of the worker", f"at most {MOST_LEFT_MIB} MiB"),
    "kill-again": Check("one model", "a new replica answers after kill -9 of the worker"),
    "two": Check("sharing", "two models on fractions of one GPU", "both answer"),
    "two-memory": Check("sharing", "GPU memory of the two", "at most their fractions"),
    "third": Check("sharing", "a third", "refused, with the reason"),
    "at-once": Check("sharing", "two launched in the same moment", "both answer"),
    "model": Check("larger model", "parameters, launch to ready"),
    **dict(pair for streams in LEVELS for pair in _of_level(streams)),
    "host-threads": Check("warm host", "its threads", "1"),
    "host-gpu": Check("warm host", "its processes on a GPU, or with a CUDA device open", "none"),
    "host-forks": Check("warm host", "engines come from it", "yes"),
    "launch-bare": Check("warm host", "bare vLLM, start to first token"),
    "launch-warm": Check("warm host", "launch to first token, host ready"),
    "launch-cold": Check("warm host", "launch to first token, cluster just started"),
    "launch-plain": Check("warm host", "launch to first token, without a host"),
    "rust": Check("Rust front end", "as the engine's server"),
}


def lines(outcomes: Iterable[Outcome]) -> list[tuple[str, str, str, str, str]]:
    """A line for each check: part, what, found, goal, reached. What nobody has found out is unmeasured."""
    latest = {outcome.check: outcome for outcome in outcomes}
    return [_line(check, latest.get(name)) for name, check in CHECKS.items()]


def _line(check: Check, outcome: Outcome | None) -> tuple[str, str, str, str, str]:
    found, reached = (outcome.found, outcome.reached) if outcome else ("unmeasured", None)
    return check.part, check.what, found, check.goal, {True: "yes", False: "NO", None: ""}[reached]


class Book:
    """A file of outcomes, a line each, written at once so that a turn that is cut off keeps what it has."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def add(self, check: str, found: str, reached: bool | None = None) -> None:
        """Note what was found; ``KeyError`` for a check that no table shows."""
        assert CHECKS[check].goal or reached is None, f"{check} has no goal to reach"
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as book:
            book.write(json.dumps(asdict(Outcome(check, " ".join(found.split()), reached)), ensure_ascii=False) + "\n")

    def read(self) -> list[Outcome]:
        """All of it, oldest first."""
        if not self.file.exists():
            return []
        return [Outcome(**json.loads(line)) for line in self.file.read_text(encoding="utf-8").splitlines()]
