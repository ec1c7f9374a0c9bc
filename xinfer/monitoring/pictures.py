"""A dashboard as one picture, drawn from what a Prometheus has: for documents, and where there is no Grafana."""

from __future__ import annotations

import json
import math
import time
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xinfer.errors import Unavailable
from xinfer.monitoring.panels import Dashboard, Panel, for_all
from xinfer.reachable import open_directly

_TIMEOUT_S = 30.0
_POINTS = 120
_COLUMNS = 3
_PANEL_INCHES = (4.6, 2.5)
_MOST_NAMES = 8


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a panel: seconds since the picture's beginning, and values."""

    name: str
    times: list[float]
    values: list[float]


def draw(dashboard: Dashboard, prometheus: str, path: Path, *, seconds: float, interval_s: float) -> None:
    """Draw the last ``seconds`` of every panel; ``interval_s`` is that of the scrapes. Raises ``Unavailable``."""
    # In the extra `bench`, and slow to import.
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    end = time.time()
    panels = [(panel, _series(panel, prometheus, end - seconds, end, interval_s)) for panel in dashboard.panels]
    panels = [(panel, series) for panel, series in panels if series]
    rows = max(1, math.ceil(len(panels) / _COLUMNS))
    size = (_PANEL_INCHES[0] * _COLUMNS, _PANEL_INCHES[1] * rows)
    figure, grid = plt.subplots(rows, _COLUMNS, figsize=size, squeeze=False)
    for axes in grid.flat:
        axes.set_visible(False)
    for axes, (panel, series) in zip(grid.flat, panels, strict=False):
        axes.set_visible(True)
        for each in series:
            axes.plot(each.times, each.values, label=each.name, linewidth=1.2)
        axes.set_title(f"{panel.title} ({panel.unit})", fontsize=9)
        axes.set_ylim(bottom=0)
        axes.tick_params(labelsize=7)
        if any(each.name for each in series):
            axes.legend(fontsize=6, loc="upper left")
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)


def _series(panel: Panel, prometheus: str, start: float, end: float, interval_s: float) -> list[Series]:
    found: list[Series] = []
    for query in panel.queries:
        # As Grafana has it: four scrapes.
        expr = for_all(query.expr, f"{max(1, round(4 * interval_s))}s")
        params = {"query": expr, "start": start, "end": end, "step": max(1.0, (end - start) / _POINTS)}
        found += [_line(each, query.legend, start) for each in _ask(prometheus, params)]
    return [each for each in found if each.times][:_MOST_NAMES]


def _ask(prometheus: str, params: dict[str, Any]) -> Sequence[dict[str, Any]]:
    url = f"{prometheus.rstrip('/')}/api/v1/query_range?{urllib.parse.urlencode(params)}"
    try:
        with open_directly(url, timeout=_TIMEOUT_S) as response:
            result: list[dict[str, Any]] = json.load(response)["data"]["result"]
    except (OSError, ValueError, KeyError) as error:
        raise Unavailable(f"There is no Prometheus at {prometheus} that answers: {error}") from None
    return result


def _line(result: dict[str, Any], legend: str, start: float) -> Series:
    name = legend
    for label, value in result["metric"].items():
        name = name.replace(f"{{{{{label}}}}}", value.rpartition("#")[2])
    points = [(at - start, float(value)) for at, value in result["values"]]
    points = [(at, value) for at, value in points if math.isfinite(value)]
    return Series(name, [at for at, _ in points], [value for _, value in points])
