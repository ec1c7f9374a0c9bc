"""A run for people: a table and a few sentences, as plain text."""

from __future__ import annotations

from xinfer.bench import machine
from xinfer.bench.launching.result import Result, RowResult
from xinfer.bench.launching.rows import ROWS, Name
from xinfer.bench.stats import present
from xinfer.bench.tables import Cell, Table

_HEADERS = ["WHAT", "MEDIAN", "(MIN..MAX)", "OF BARE", "GOAL: AT MOST", "REACHED"]
_REACHED = {True: "yes", False: "NO", None: None}
_WITH_STAGES: tuple[Name, ...] = ("bare", "plain", "cold", "warm")


def heading(result: Result) -> list[str]:
    """The machine that the run was made on."""
    return machine.describe(result.machine)


def table(result: Result) -> Table:
    """A line for each row that was measured, in the order of ``ROWS``."""
    return Table(list(_HEADERS), [_cells(result, name) for name in ROWS if name in result.rows])


def _cells(result: Result, name: Name) -> list[Cell]:
    found = result.rows[name]
    goal = None
    if found.row.goal:
        goal = found.row.goal.describe(found.row.unit)
    return [
        found.row.title,
        _median(found),
        _extremes(found),
        _share_of_bare(result, name),
        goal,
        _REACHED[result.reached(name)],
    ]


def _median(found: RowResult) -> Cell:
    unit = found.row.unit
    if found.range:
        return f"{_number(found.range.median, unit)} {unit}".strip()
    if found.failures:
        return "failed"
    return None


def _extremes(found: RowResult) -> Cell:
    unit = found.row.unit
    if found.range is None:
        return None
    return f"({_number(found.range.min, unit)}..{_number(found.range.max, unit)})"


def _share_of_bare(result: Result, name: Name) -> Cell:
    share = result.share_of_bare(name)
    # Of bare vLLM's own row it says nothing.
    if share is None or name == "bare":
        return None
    return f"{share:.3f}"


def _number(value: float, unit: str) -> str:
    if unit == "s":
        return f"{value:.2f}"
    return f"{value:.0f}"


def sentences(result: Result) -> list[str]:
    """What the table has no room for."""
    lines = [_stages(result.rows[name]) for name in _WITH_STAGES if name in result.rows]
    if "memory" in result.rows:
        lines.append(_memory(result.rows["memory"]))
    return present(lines)


def warnings(result: Result) -> list[str]:
    """Why samples are missing, each reason once."""
    names: dict[str, list[str]] = {}
    for name, found in result.rows.items():
        for reason in dict.fromkeys(found.failures):
            names.setdefault(reason, []).append(name)
    return [f"{', '.join(rows)}: {reason}" for reason, rows in names.items()]


def _stages(found: RowResult) -> str | None:
    if not found.parts:
        return None
    parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in found.parts.items())
    return f"{found.row.title}, seconds by stage: {parts}."


def _memory(found: RowResult) -> str | None:
    if not found.samples:
        return None
    mib = "{:.0f} MiB".format
    alone = f"{mib(found.parts['idle_pss'])} (PSS; {mib(found.parts['idle_private'])} of it its own)"
    beside = f"{mib(found.parts['beside_pss'])} ({mib(found.parts['beside_private'])})"
    return (
        f"The idle warm host holds {alone} when alone, and {beside} beside one engine, with which it shares the rest."
    )
