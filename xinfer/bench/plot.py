"""A run as a picture: latency and throughput against load."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, ScalarFormatter

from xinfer.bench.metrics import LegMetrics
from xinfer.bench.result import LevelResult, Result
from xinfer.bench.stats import values_of
from xinfer.bench.target import Side

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS: dict[Side, str] = {"a": "tab:blue", "b": "tab:orange"}
_Curve = tuple[str, str, str, str]
"""A latency, its percentile, the label, and matplotlib's format of the line."""
_STREAMED: tuple[_Curve, ...] = (
    ("ttft_ms", "p50", "TTFT p50", "o-"),
    ("ttft_ms", "p99", "TTFT p99", "^--"),
    ("itl_ms", "p50", "ITL p50", "s:"),
)
_WHOLE: tuple[_Curve, ...] = (("e2e_ms", "p50", "answer p50", "o-"), ("e2e_ms", "p99", "answer p99", "^--"))


def plot(result: Result, file: Path) -> None:
    """Write a PNG."""
    # Not pyplot, which would look for a window system: a figure of its own draws with Agg.
    figure = Figure(figsize=(12, 5), layout="constrained")
    latency, throughput = figure.subplots(1, 2)
    loads = _loads(result.levels)
    for side in result.targets:
        legs = [found.median_leg(side) for found in result.levels]
        _draw_latencies(latency, side, loads, legs)
        _draw(throughput, side, "tokens/s", "o-", loads, values_of(legs, "tokens_per_s"))
    _label(latency, result.levels, "ms")
    _label(throughput, result.levels, "tokens/s")
    _make_logarithmic(latency)
    throughput.set_ylim(bottom=0)
    figure.suptitle("\n".join(result.describe_targets()), fontsize=10)
    figure.savefig(file, format="png", dpi=120)


def _loads(levels: Sequence[LevelResult]) -> list[float]:
    return [found.level.value for found in levels]


def _draw_latencies(axes: Axes, side: Side, loads: list[float], legs: list[LegMetrics]) -> None:
    if values_of(legs, "ttft_ms"):
        curves = _STREAMED
    else:
        curves = _WHOLE
    for name, share, label, style in curves:
        # A leg in which all requests failed has no latency.
        values = [getattr(getattr(leg, name), share, None) for leg in legs]
        _draw(axes, side, label, style, loads, values)


def _draw(
    axes: Axes, side: Side, label: str, style: str, loads: Sequence[float], values: Sequence[float | None]
) -> None:
    """A line through the values that are present; nothing if none is."""
    xs: list[float] = []
    ys: list[float] = []
    for load, value in zip(loads, values, strict=True):
        if value is not None:
            xs.append(load)
            ys.append(value)
    if xs:
        axes.plot(xs, ys, style, color=_COLORS[side], label=f"{side.upper()} {label}", markersize=5)


def _label(axes: Axes, levels: Sequence[LevelResult], unit: str) -> None:
    axes.set_xlabel({"concurrency": "streams", "rate": "requests per second"}[levels[0].level.kind])
    axes.set_ylabel(unit)
    axes.set_xscale("log", base=2)
    loads = sorted(set(_loads(levels)))
    axes.set_xticks(loads, [f"{load:g}" for load in loads])
    axes.grid(visible=True, which="both", alpha=0.3)
    # Matplotlib warns of a legend without lines.
    if axes.lines:
        axes.legend(fontsize=8)


def _make_logarithmic(axes: Axes) -> None:
    axes.set_yscale("log")
    # Numbers that people read: a logarithmic axis has powers of ten on it by default.
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(LogFormatter())
