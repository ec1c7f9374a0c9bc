"""One ``xinfer bench-launch``, from what was asked for to what was found."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from xinfer.bench import machine
from xinfer.bench.launching import serve
from xinfer.bench.launching.record import Record
from xinfer.bench.launching.result import Result
from xinfer.bench.launching.round import Round
from xinfer.bench.launching.row import NAMES, ROWS, Name
from xinfer.bench.launching.subject import Subject


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
        everything = Round(self.subject, record)
        for number in range(self.runs):
            record.title = f"run {number + 1} of {self.runs}, "
            everything.run([name for name in self.names if number == 0 or not ROWS[name].once])
        return Result(record.rows, machine.facts(), self._arguments(spec.gpus))

    def _arguments(self, gpus: float) -> dict[str, Any]:
        return {
            "runs": self.runs,
            "rows": list(self.names),
            "model": self.subject.model_path or self.subject.name,
            "gpus": gpus,
            "engine_args": dict(self.subject.engine_args),
            "serve": "make serve" if serve.checkout() else "xinfer start --foreground --launch",
        }
