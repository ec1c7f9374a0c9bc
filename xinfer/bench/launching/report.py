"""A run for people: a table and a few sentences, as plain text."""

from __future__ import annotations

from xinfer.bench import machine
from xinfer.bench.launching.result import Result, RowResult
from xinfer.bench.launching.row import ROWS, Name
from xinfer.bench.tables import Cell, Table

_REACHED = {True: "yes", False: "NO", None: None}


def heading(result: Result) -> list[str]:
    return machine.describe(result.machine)


def table(result: Result) -> Table:
    """A row for each that was asked for, in the order of the goals."""
    headers = ["WHAT", "MEDIAN", "(MIN..MAX)", "OF BARE", "GOAL: AT MOST", "REACHED"]
    return Table(headers, [_row(result, name) for name in ROWS if name in result.rows])


def _row(result: Result, name: Name) -> list[Cell]:
    found = result.rows[name]
    unit = found.row.unit
    goal = found.row.goal
    across = found.range
    share = result.share_of_bare(name)
    return [
        found.row.title,
        f"{_number(across.median, unit)} {unit}".strip() if across else "failed" if found.failures else None,
        f"({_number(across.min, unit)}..{_number(across.max, unit)})" if across else None,
        f"{share:.3f}" if share is not None and name != "bare" else None,
        goal.told(unit) if goal else None,
        _REACHED[result.reached(name)],
    ]


def _number(value: float, unit: str) -> str:
    if unit == "s":
        return f"{value:.2f}"
    return f"{value:.0f}"


def sentences(result: Result) -> list[str]:
    """What the table has no room for."""
    if "memory" in result.rows:
        told = [_memory(result.rows["memory"])]
    else:
        told = []
    stages = [_stages(result.rows[name]) for name in ("bare", "plain", "cold", "warm") if name in result.rows]
    return [sentence for sentence in [*stages, *told] if sentence]


def warnings(result: Result) -> list[str]:
    """Why samples are missing, each reason once."""
    reasons: dict[str, list[str]] = {}
    for name, found in result.rows.items():
        for reason in dict.fromkeys(found.failures):
            reasons.setdefault(reason, []).append(name)
    return [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()]


def _stages(found: RowResult) -> str | None:
    parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in found.parts.items())
    if parts:
        return f"{found.row.title}, seconds by stage: {parts}."
    return None


def _memory(found: RowResult) -> str | None:
    if not found.samples:
        return None
    mib = {name: f"{value:.0f} MiB" for name, value in found.parts.items()}
    return (
        f"The idle warm host holds {mib['idle_pss']} (PSS; {mib['idle_private']} of it its own) when alone, and "
        f"{mib['beside_pss']} ({mib['beside_private']}) beside one engine, with which it shares the rest."
    )
