"""A run for people: headings, tables and sentences, as plain text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xinfer.bench import machine
from xinfer.bench.columns import Cell, columns_of_one, columns_of_two, gpu_busy, number
from xinfer.bench.paired import Across, Side
from xinfer.bench.result import LevelResult, Result


@dataclass(frozen=True, slots=True)
class Table:
    """Headers and rows; None is a cell with nothing in it."""

    headers: list[str]
    rows: list[list[Cell]]


def heading(result: Result, stream: bool, turns: int = 1) -> list[str]:
    """Who was asked for what, and on which machine the load was made."""
    seen = [found.typical(side) for found in result.levels for side in result.targets]
    prompt, answer = (_counts(getattr(each, name) for each in seen) for name in ("prompt_tokens", "completion_tokens"))
    rounds = len(result.levels[0].rounds)
    ways = "streamed answers" if stream else "answers in one piece"
    ways += f", conversations of {turns} turns" if turns > 1 else ""
    if rounds > 1:
        of = f"; medians of {rounds} {'pairs' if 'b' in result.targets else 'rounds'}"
    else:
        of = ""
    names = [f"{side.upper()}  {target}" for side, target in result.targets.items()]
    return [
        *names,
        f"{ways}; prompts of {prompt} tokens, answers of {answer}, as the server counts them{of}; times in ms",
        *machine.told(result.machine),
    ]


def table(result: Result) -> Table:
    """A row for each level; columns that have nothing in any row are left out."""
    if "b" in result.targets:
        columns = columns_of_two()
    else:
        columns = columns_of_one()
    first = {"concurrency": "STREAMS", "rate": "RATE/S"}[result.levels[0].level.kind]
    shown = [(name, [cell(found) for found in result.levels]) for name, cell in columns]
    shown = [(name, cells) for name, cells in shown if any(cells) or name.startswith("ERRORS")]
    labels: list[Cell] = [f"{found.level.value:g}" for found in result.levels]
    return Table(
        [first, *(name for name, _ in shown)], [list(row) for row in zip(labels, *(c for _, c in shown), strict=True)]
    )


def cpu_table(result: Result) -> Table | None:
    """CPU time per unit of work: a row for each level and name; None if no process was watched."""
    units = {"US/CHUNK": "us_per_chunk", "MS/REQUEST": "ms_per_request"}
    columns = [(f"{unit}{_of(side, result)}", side, name) for unit, name in units.items() for side in result.targets]
    rows: list[list[Cell]] = []
    for found in result.levels:
        costs = {side: found.typical(side).cpu for side in result.targets}
        for watched in dict.fromkeys(name for cost in costs.values() for name in cost):
            cells = [number(getattr(costs[side].get(watched), name, None)) for _, side, name in columns]
            rows.append([f"{found.level}", watched, *cells])
    if rows:
        return Table(["AT", "CPU OF", *(header for header, _, _ in columns)], rows)
    return None


def summary(result: Result) -> list[str]:
    """The comparison in sentences; nothing without a B."""
    facts = [(f"{found.level}", found.versus) for found in result.levels]
    if any("ttft_p50_added_ms" in versus for _, versus in facts):
        latency = "ttft"
    else:
        latency = "e2e"
    name = {"ttft": "the time to the first token", "e2e": "the time to the whole answer"}[latency]
    sentences = {
        "Tokens per second, A over B": _listed(facts, _ratio("tokens_per_s_ratio")),
        "Requests per second, A over B": _listed(facts, _ratio("requests_per_s_ratio")),
        f"A adds to {name}, p50": _listed(facts, lambda versus: _addition(versus, f"{latency}_p50")),
    }
    if "b" in result.targets:
        sentences["GPUs of this machine busy, A and B"] = ", ".join(filter(None, map(_gpus_busy, result.levels)))
    return [f"{subject}: {listed}." for subject, listed in sentences.items() if listed]


def warnings(result: Result) -> list[str]:
    """What makes the figures less than they seem."""
    seen = [
        (f"{side.upper()}, {found.level}", found.typical(side)) for found in result.levels for side in result.targets
    ]
    told: list[str] = []
    for where, leg in seen:
        if leg.own_cpu_share > 0.9:
            told.append(f"{where}: the generator took {leg.own_cpu_share:.0%} of a core; it may be what was measured.")
        if leg.behind:
            told.append(f"{where}: behind schedule, by {leg.late_p99_ms:.0f} ms at p99; the rate was not reached.")
        if leg.requests and leg.completion_tokens is None:
            told.append(f"{where}: the server counts no tokens; events with content are counted in their place.")
    engines = [leg.engines for _, leg in seen if leg.engines is not None]
    silent = [url for url in result.engines if any(url not in each.prompt_tokens for each in engines)]
    return told + [f"{url}/metrics has no counters of vLLM's; figures of engines are left out." for url in silent]


def _listed(facts: Sequence[tuple[str, Mapping[str, Across]]], said: Callable[[Mapping[str, Across]], Cell]) -> str:
    return ", ".join(f"{text} at {level}" for level, versus in facts if (text := said(versus)))


def _ratio(name: str) -> Callable[[Mapping[str, Across]], Cell]:
    return lambda versus: f"{versus[name].median:.3f}" if name in versus else None


def _addition(versus: Mapping[str, Across], name: str) -> Cell:
    in_ms = versus.get(f"{name}_added_ms")
    in_percent = versus.get(f"{name}_added_percent")
    if in_ms and in_percent:
        return f"{in_ms.median:.1f} ms ({in_percent.median:+.1f} %)"
    return None


def _gpus_busy(found: LevelResult) -> Cell:
    a, b = (gpu_busy(found.typical(side)) for side in ("a", "b"))
    if a and b:
        return f"{a} and {b} at {found.level}"
    return None


def _of(side: Side, result: Result) -> str:
    if len(result.targets) > 1:
        return f" {side.upper()}"
    return ""


def _counts(values: Any) -> str:
    there = [value for value in values if value is not None]
    low, high = (round(min(there)), round(max(there))) if there else (0, 0)
    if not there:
        return "an unknown number of"
    if low == high:
        return f"{low}"
    return f"{low} to {high}"
