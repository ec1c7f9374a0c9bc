"""A run as a picture: where the time of a launch goes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from xinfer.bench.launching.result import Result
from xinfer.bench.launching.row import ROWS, Name

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
    """Write a PNG with a bar for each start, its stages one after the other. No window system is needed."""
    shown = {ROWS[name].title: result.rows[name].parts for name in _BARS if name in result.rows}
    shown = {title: parts for title, parts in shown.items() if parts}
    figure = Figure(figsize=(11, 1.5 + 0.6 * len(shown)), layout="constrained")
    axes = figure.subplots()
    for stage in _order(shown):
        widths = [parts.get(stage, 0.0) for parts in shown.values()]
        lefts = [_before(parts, stage) for parts in shown.values()]
        axes.barh(list(shown), widths, left=lefts, color=_COLORS.get(stage), label=stage.replace("_", " "))
    for title, parts in shown.items():
        axes.annotate(f" {sum(parts.values()):.1f} s", (sum(parts.values()), title), va="center", fontsize=9)
    axes.invert_yaxis()
    axes.margins(x=0.08)
    axes.set_xlabel("seconds, medians of each stage")
    axes.grid(visible=True, axis="x", alpha=0.3)
    if shown:
        axes.legend(fontsize=8)
    figure.savefig(file, format="png", dpi=120)


def _order(shown: Mapping[str, Mapping[str, float]]) -> list[str]:
    """All stages of all bars: the known ones in the order of a launch, then others."""
    names = dict.fromkeys(stage for parts in shown.values() for stage in parts)
    return [stage for stage in _COLORS if stage in names] + [stage for stage in names if stage not in _COLORS]


def _before(parts: Mapping[str, float], stage: str) -> float:
    """How much of a bar lies before a stage."""
    if stage not in parts:
        return 0.0
    stages = list(parts)
    return sum(parts[each] for each in stages[: stages.index(stage)])
