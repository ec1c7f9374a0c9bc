"""A run as a picture: latency and throughput against load."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, ScalarFormatter

from xinfer.bench.figures import Figures
from xinfer.bench.paired import Side
from xinfer.bench.result import LevelResult, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS: dict[Side, str] = {"a": "tab:blue", "b": "tab:orange"}
_LATENCIES = (
    ("ttft_ms", "p50", "TTFT p50", "o-"),
    ("ttft_ms", "p99", "TTFT p99", "^--"),
    ("itl_ms", "p50", "ITL p50", "s:"),
)
_OF_WHOLE_ANSWERS = (("e2e_ms", "p50", "answer p50", "o-"), ("e2e_ms", "p99", "answer p99", "^--"))


def plot(result: Result, file: Path) -> None:
    """Write a PNG. No window system is needed: a figure of its own draws with Agg."""
    figure = Figure(figsize=(12, 5), layout="constrained")
    latency, throughput = figure.subplots(1, 2)
    for side in result.targets:
        legs = [found.typical(side) for found in result.levels]
        loads = [found.level.value for found in result.levels]
        _draw_latency(latency, side, loads, legs)
        _draw(throughput, side, "tokens/s", "o-", loads, [leg.tokens_per_s for leg in legs])
    for axes, unit in ((latency, "ms"), (throughput, "tokens/s")):
        _label(axes, result.levels, unit)
    _make_logarithmic(latency)
    throughput.set_ylim(bottom=0)
    figure.suptitle("\n".join(f"{side.upper()}  {target}" for side, target in result.targets.items()), fontsize=10)
    figure.savefig(file, format="png", dpi=120)


def _draw_latency(axes: Axes, side: Side, loads: list[float], legs: list[Figures]) -> None:
    streams = any(leg.ttft_ms for leg in legs)
    for name, share, label, style in _LATENCIES if streams else _OF_WHOLE_ANSWERS:
        spreads = [getattr(leg, name) for leg in legs]
        values = [getattr(spread, share) if spread else None for spread in spreads]
        _draw(axes, side, label, style, loads, values)


def _draw(axes: Axes, side: Side, label: str, style: str, loads: list[float], values: list[float | None]) -> None:
    there = [(load, value) for load, value in zip(loads, values, strict=True) if value is not None]
    if there:
        axes.plot(*zip(*there, strict=True), style, color=_COLORS[side], label=f"{side.upper()} {label}", markersize=5)


def _label(axes: Axes, levels: Sequence[LevelResult], unit: str) -> None:
    axes.set_xlabel({"concurrency": "streams", "rate": "requests per second"}[levels[0].level.kind])
    axes.set_ylabel(unit)
    axes.set_xscale("log", base=2)
    loads = sorted({found.level.value for found in levels})
    axes.set_xticks(loads, [f"{load:g}" for load in loads])
    axes.grid(visible=True, which="both", alpha=0.3)
    if axes.lines:
        axes.legend(fontsize=8)


def _make_logarithmic(axes: Axes) -> None:
    """With numbers on it that people read, not powers of ten."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(LogFormatter())
