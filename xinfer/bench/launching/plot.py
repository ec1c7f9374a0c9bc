"""A run as a picture: where the time of a launch goes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from xinfer.bench.launching.result import Result
from xinfer.bench.launching.rows import ROWS, Name
from xinfer.bench.stats import by_key

_COLORS = {
    "cluster": "tab:gray",
    "request": "lightgray",
    "pending": "silver",
    "placing": "tab:olive",
    "downloading": "tab:cyan",
    "starting": "tab:blue",
    "loading": "tab:orange",
    "warming_up": "tab:red",
    "first token": "tab:green",
}
_BARS: tuple[Name, ...] = ("bare", "plain", "cold", "warm", "replica", "wake", "serve")


def plot(result: Result, file: Path) -> None:
    """Write a PNG with a bar for each start, its stages one after the other."""
    bars = _bars(result)
    # Not pyplot, which would look for a window system.
    figure = Figure(figsize=(11, 1.5 + 0.6 * len(bars)), layout="constrained")
    axes = figure.subplots()
    for stage in _stages(bars):
        widths = [parts.get(stage, 0.0) for parts in bars.values()]
        lefts = [_before(parts, stage) for parts in bars.values()]
        axes.barh(list(bars), widths, left=lefts, color=_COLORS.get(stage), label=stage.replace("_", " "))
    for title, parts in bars.items():
        seconds = sum(parts.values())
        axes.annotate(f" {seconds:.1f} s", (seconds, title), va="center", fontsize=9)
    axes.invert_yaxis()
    axes.margins(x=0.08)
    axes.set_xlabel("seconds, medians of each stage")
    axes.grid(visible=True, axis="x", alpha=0.3)
    # Matplotlib warns of a legend without bars.
    if bars:
        axes.legend(fontsize=8)
    figure.savefig(file, format="png", dpi=120)


def _bars(result: Result) -> dict[str, Mapping[str, float]]:
    """The stages of each row that has any, by its title."""
    bars: dict[str, Mapping[str, float]] = {}
    for name in _BARS:
        if name in result.rows and result.rows[name].parts:
            bars[ROWS[name].title] = result.rows[name].parts
    return bars


def _stages(bars: Mapping[str, Mapping[str, float]]) -> list[str]:
    """All stages of all bars: the known ones in the order of a launch, then others."""
    stages = by_key(bars.values())
    known = [stage for stage in _COLORS if stage in stages]
    return list(dict.fromkeys([*known, *stages]))


def _before(parts: Mapping[str, float], stage: str) -> float:
    """How much of a bar lies before a stage; 0 if the bar does not have it."""
    before = 0.0
    for name, seconds in parts.items():
        if name == stage:
            return before
        before += seconds
    return 0.0
