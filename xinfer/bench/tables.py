"""The tables of a run: a row for each level."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from xinfer.bench.gpus import busy_share, memory_peak_mib
from xinfer.bench.metrics import LegMetrics
from xinfer.bench.result import LevelResult, Result
from xinfer.bench.stats import Latency, by_key
from xinfer.bench.target import Side

Cell = str | None
"""None is an empty cell."""
LegCell = Callable[[LegMetrics], Cell]
LevelCell = Callable[[LevelResult], Cell]
Column = tuple[str, LevelCell]

_CPU_UNITS = (("US/CHUNK", "us_per_chunk"), ("MS/REQUEST", "ms_per_request"))


@dataclass(frozen=True, slots=True)
class Table:
    """Headers, and rows of as many cells."""

    headers: list[str]
    rows: list[list[Cell]]


def table(result: Result) -> Table:
    """A row for each level; a column whose cells are all empty is left out."""
    if "b" in result.targets:
        columns = _columns_of_two()
    else:
        columns = _columns_of_one()

    headers = [{"concurrency": "STREAMS", "rate": "RATE/S"}[result.levels[0].level.kind]]
    shown: list[list[Cell]] = [[f"{found.level.value:g}" for found in result.levels]]
    for header, cell in columns:
        cells = [cell(found) for found in result.levels]
        # That there were no errors is a result, too.
        if any(cells) or header.startswith("ERRORS"):
            headers.append(header)
            shown.append(cells)
    return Table(headers, list(map(list, zip(*shown, strict=True))))


def cpu_table(result: Result) -> Table | None:
    """CPU time per unit of work: a row for each level and name; None if no process was watched."""
    headers = ["AT", "CPU OF"]
    columns: list[tuple[Side, str]] = []
    for (unit, metric), side in itertools.product(_CPU_UNITS, result.targets):
        headers.append(unit + _suffix(side, result))
        columns.append((side, metric))

    rows: list[list[Cell]] = []
    for found in result.levels:
        costs = {side: leg.cpu for side, leg in found.median_legs().items()}
        for name in by_key(costs.values()):
            cells = [number(getattr(costs[side].get(name), metric, None)) for side, metric in columns]
            rows.append([f"{found.level}", name, *cells])
    if not rows:
        return None
    return Table(headers, rows)


def _suffix(side: Side, result: Result) -> str:
    if len(result.targets) > 1:
        return f" {side.upper()}"
    return ""


def _columns_of_one() -> list[Column]:
    return [
        _column("REQUESTS", "a", _requests),
        _column("REQ/S", "a", _requests_per_s),
        _column("TOK/S", "a", _tokens_per_s),
        _column("TTFT P50", "a", _latency("ttft_ms", "p50")),
        _column("TTFT P90", "a", _latency("ttft_ms", "p90")),
        _column("TTFT P99", "a", _latency("ttft_ms", "p99")),
        _column("TTFT P50 LATER", "a", _latency("ttft_later_ms", "p50")),
        _column("ITL P50", "a", _latency("itl_ms", "p50")),
        _column("ITL P99", "a", _latency("itl_ms", "p99")),
        _column("E2E P50", "a", _latency("e2e_ms", "p50")),
        _column("E2E P99", "a", _latency("e2e_ms", "p99")),
        _column("CACHE HITS", "a", _share_of_engines("cache_hit_rate")),
        _column("BUSIEST ENGINE", "a", _share_of_engines("busiest_share")),
        _column("GPU BUSY", "a", gpu_busy),
        _column("GPU MIB", "a", _gpu_memory),
        _column("ERRORS", "a", _errors),
        _column("OWN CPU", "a", _own_cpu),
    ]


def _columns_of_two() -> list[Column]:
    return [
        *_of_both("TOK/S", _tokens_per_s),
        ("A/B (MIN..MAX)", _range("tokens_per_s_ratio", 3)),
        ("REQ/S A/B", _range("requests_per_s_ratio", 3)),
        *_of_both("TTFT P50", _latency("ttft_ms", "p50")),
        ("A-B (MIN..MAX)", _range("ttft_p50_added_ms", 1)),
        ("A-B %", _median("ttft_p50_added_percent", 1)),
        ("P99 A-B", _median("ttft_p99_added_ms", 1)),
        *_of_both("TTFT P50 LATER", _latency("ttft_later_ms", "p50")),
        *_of_both("ITL P50", _latency("itl_ms", "p50")),
        *_of_both("E2E P50", _e2e_of_whole),
        ("E2E A-B %", _e2e_added),
        *_of_both("CACHE HITS", _share_of_engines("cache_hit_rate")),
        *_of_both("BUSIEST ENGINE", _share_of_engines("busiest_share")),
        *_of_both("GPU BUSY", gpu_busy),
        *_of_both("GPU MIB", _gpu_memory),
        *_of_both("ERRORS", _errors),
        *_of_both("OWN CPU", _own_cpu),
    ]


def _column(header: str, side: Side, cell: LegCell) -> Column:
    return header, lambda found: cell(found.median_leg(side))


def _of_both(header: str, cell: LegCell) -> tuple[Column, Column]:
    return _column(f"{header} A", "a", cell), _column(f"{header} B", "b", cell)


def _requests(leg: LegMetrics) -> Cell:
    return f"{leg.requests:g}"


def _requests_per_s(leg: LegMetrics) -> Cell:
    return number(leg.requests_per_s)


def _tokens_per_s(leg: LegMetrics) -> Cell:
    return number(leg.tokens_per_s)


def _latency(name: str, share: str) -> LegCell:
    def cell(leg: LegMetrics) -> Cell:
        latency: Latency | None = getattr(leg, name)
        if latency is None:
            return None
        return number(getattr(latency, share))

    return cell


def _e2e_of_whole(leg: LegMetrics) -> Cell:
    # The table of two has columns enough for a streamed response without this one.
    if leg.ttft_ms:
        return None
    return _latency("e2e_ms", "p50")(leg)


def _e2e_added(found: LevelResult) -> Cell:
    if found.median_leg("a").ttft_ms:
        return None
    return _range("e2e_p50_added_percent", 1)(found)


def _share_of_engines(name: str) -> LegCell:
    def cell(leg: LegMetrics) -> Cell:
        return _percent(getattr(leg.engines, name, None))

    return cell


def gpu_busy(leg: LegMetrics) -> Cell:
    """The share of the time in which its GPUs had something to do."""
    return _percent(busy_share(leg.gpus))


def _gpu_memory(leg: LegMetrics) -> Cell:
    mib = memory_peak_mib(leg.gpus)
    if mib is None:
        return None
    return f"{mib:.0f}"


def _errors(leg: LegMetrics) -> Cell:
    if not leg.errors:
        return None
    return ", ".join(f"{count} {kind}" for kind, count in leg.errors.items())


def _own_cpu(leg: LegMetrics) -> Cell:
    return f"{leg.own_cpu_share:.0%}"


def _median(name: str, digits: int) -> LevelCell:
    def cell(found: LevelResult) -> Cell:
        values = found.versus.get(name)
        if values is None:
            return None
        return f"{values.median:.{digits}f}"

    return cell


def _range(name: str, digits: int) -> LevelCell:
    def cell(found: LevelResult) -> Cell:
        values = found.versus.get(name)
        if values is None:
            return None
        return f"{values.median:.{digits}f} ({values.min:.{digits}f}..{values.max:.{digits}f})"

    return cell


def _percent(share: float | None) -> Cell:
    if share is None:
        return None
    return f"{share:.1%}"


def number(value: float | None) -> Cell:
    """About three significant digits."""
    if value is None:
        return None
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}"
