"""The columns of a run's table, and what each shows of a level."""

from __future__ import annotations

from collections.abc import Callable

from xinfer.bench.figures import Figures, Spread
from xinfer.bench.gpus import busy_share, memory_peak_mib
from xinfer.bench.paired import Side
from xinfer.bench.result import LevelResult

Cell = str | None
"""None is a cell with nothing in it."""
Column = tuple[str, Callable[[LevelResult], Cell]]


def columns_of_one() -> list[Column]:
    """Of a run with one server."""
    return [
        ("REQUESTS", _figure("a", lambda leg: f"{leg.requests:g}")),
        ("REQ/S", _figure("a", lambda leg: number(leg.requests_per_s))),
        ("TOK/S", _figure("a", lambda leg: number(leg.tokens_per_s))),
        *((f"TTFT {share.upper()}", _time("a", "ttft_ms", share)) for share in ("p50", "p90", "p99")),
        ("TTFT P50 LATER", _time("a", "ttft_later_ms", "p50")),
        *((f"ITL {share.upper()}", _time("a", "itl_ms", share)) for share in ("p50", "p99")),
        *((f"E2E {share.upper()}", _time("a", "e2e_ms", share)) for share in ("p50", "p99")),
        ("CACHE HITS", _of_engines("a", "cache_hit_rate")),
        ("BUSIEST ENGINE", _of_engines("a", "busiest_share")),
        ("GPU BUSY", _figure("a", gpu_busy)),
        ("GPU MIB", _figure("a", _gpu_memory)),
        ("ERRORS", _figure("a", _errors)),
        ("OWN CPU", _figure("a", lambda leg: f"{leg.own_cpu_share:.0%}")),
    ]


def columns_of_two() -> list[Column]:
    sides: tuple[Side, Side] = ("a", "b")
    return [
        *((f"TOK/S {side.upper()}", _figure(side, lambda leg: number(leg.tokens_per_s))) for side in sides),
        ("A/B (MIN..MAX)", _across("tokens_per_s_ratio", 3)),
        ("REQ/S A/B", _across("requests_per_s_ratio", 3)),
        *((f"TTFT P50 {side.upper()}", _time(side, "ttft_ms", "p50")) for side in sides),
        ("A-B (MIN..MAX)", _across("ttft_p50_added_ms", 1)),
        ("A-B %", _across("ttft_p50_added_percent", 1, extremes=False)),
        ("P99 A-B", _across("ttft_p99_added_ms", 1, extremes=False)),
        *((f"TTFT P50 LATER {side.upper()}", _time(side, "ttft_later_ms", "p50")) for side in sides),
        *((f"ITL P50 {side.upper()}", _time(side, "itl_ms", "p50")) for side in sides),
        *((f"E2E P50 {side.upper()}", _of_whole(side)) for side in sides),
        ("E2E A-B %", lambda found: None if found.typical("a").ttft_ms else _across("e2e_p50_added_percent", 1)(found)),
        *((f"CACHE HITS {side.upper()}", _of_engines(side, "cache_hit_rate")) for side in sides),
        *((f"BUSIEST ENGINE {side.upper()}", _of_engines(side, "busiest_share")) for side in sides),
        *((f"GPU BUSY {side.upper()}", _figure(side, gpu_busy)) for side in sides),
        *((f"GPU MIB {side.upper()}", _figure(side, _gpu_memory)) for side in sides),
        *((f"ERRORS {side.upper()}", _figure(side, _errors)) for side in sides),
        *((f"OWN CPU {side.upper()}", _figure(side, lambda leg: f"{leg.own_cpu_share:.0%}")) for side in sides),
    ]


def _figure(side: Side, cell: Callable[[Figures], Cell]) -> Callable[[LevelResult], Cell]:
    return lambda found: cell(found.typical(side))


def _time(side: Side, name: str, share: str) -> Callable[[LevelResult], Cell]:
    def cell(found: LevelResult) -> Cell:
        spread: Spread | None = getattr(found.typical(side), name)
        if spread is None:
            return None
        return number(getattr(spread, share))

    return cell


def _of_engines(side: Side, name: str) -> Callable[[LevelResult], Cell]:
    def cell(found: LevelResult) -> Cell:
        share: float | None = getattr(found.typical(side).engines, name, None)
        if share is None:
            return None
        return f"{share:.1%}"

    return cell


def gpu_busy(leg: Figures) -> Cell:
    """The share of the time in which its GPUs had something to do."""
    share = busy_share(leg.gpus)
    if share is None:
        return None
    return f"{share:.1%}"


def _gpu_memory(leg: Figures) -> Cell:
    mib = memory_peak_mib(leg.gpus)
    if mib is None:
        return None
    return f"{mib:.0f}"


def _of_whole(side: Side) -> Callable[[LevelResult], Cell]:
    """The time to the end of an answer in one piece; of a streamed one enough else is told."""
    return lambda found: None if found.typical(side).ttft_ms else _time(side, "e2e_ms", "p50")(found)


def _across(name: str, digits: int, *, extremes: bool = True) -> Callable[[LevelResult], Cell]:
    def cell(found: LevelResult) -> Cell:
        each = found.versus.get(name)
        if each is None:
            return None
        return f"{each.median:.{digits}f}" + (f" ({each.min:.{digits}f}..{each.max:.{digits}f})" if extremes else "")

    return cell


def _errors(leg: Figures) -> Cell:
    return ", ".join(f"{count} {kind}" for kind, count in leg.errors.items()) or None


def number(value: float | None) -> Cell:
    if value is None:
        return None
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}"
