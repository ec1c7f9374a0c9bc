"""What is measured, and what each figure should reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from xinfer.bench.launching.target import Target

Name = Literal["bare", "plain", "cold", "warm", "serve", "replica", "wake", "terminate", "memory", "off"]
NAMES: tuple[Name, ...] = get_args(Name)


@dataclass(frozen=True, slots=True)
class Row:
    name: Name
    title: str
    goal: Target | None = None
    unit: str = "s"
    once: bool = False
    """Measured in the first run only, as no clock is involved."""


ROWS: dict[Name, Row] = {
    row.name: row
    for row in (
        Row("bare", "bare vLLM, start to first token"),
        Row("warm", "launch to first token, warm host ready", Target(at_most=6, of_bare=0.12)),
        Row("cold", "launch to first token, cluster just started, no warm host yet", Target(of_bare=0.5)),
        Row("plain", "launch to first token, cluster without a warm host"),
        Row("serve", "make serve to first token", Target(at_most=35)),
        Row("replica", "second replica of a running model", Target(at_most=6)),
        Row("wake", "wake from sleep to first token", Target(at_most=6)),
        Row("terminate", "terminate: processes, port, memory and GPU gone", Target(at_most=3)),
        Row("memory", "idle warm host's own memory, beside an engine", unit="MiB"),
        Row("off", "processes of a warm host with --no-warm-host", Target(at_most=0), unit="", once=True),
    )
}
