"""What dashboards are made of: panels as plain data, and Grafana's JSON made of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
RATE = "$__rate_interval"
_SCHEMA_VERSION = 39
_HEIGHT = 8
_STAT_HEIGHT = 4
_COLUMNS = 24


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel; ``legend`` names each of its series."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. ``unit`` is Grafana's name of it."""

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: Literal["timeseries", "stat"] = "timeseries"
    width: int = 8
    text: str = ""
    """What it shows, where the title does not say it all."""
    needs_gpu: bool = False
    """Whether it is empty on nodes without a GPU."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A label whose values Grafana offers; queries name it as ``$name``."""

    name: str
    label: str
    query: str


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One board, with the variables that its queries name."""

    uid: str
    title: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()

    @property
    def panels(self) -> list[Panel]:
        return [panel for row in self.rows for panel in row.panels]

    def render(self) -> str:
        """The file that Grafana provisions."""
        dashboard = {
            "uid": self.uid,
            "title": self.title,
            "tags": ["xinfer"],
            "timezone": "browser",
            "schemaVersion": _SCHEMA_VERSION,
            "refresh": "10s",
            "time": {"from": "now-1h", "to": "now"},
            "templating": {"list": _variables(self.variables)},
            "panels": _grid(self.rows),
        }
        return json.dumps(dashboard, indent=2) + "\n"


def stat(title: str, expr: str, unit: str = "short", text: str = "") -> Panel:
    return Panel(title, (Query(expr, ""),), unit, "stat", width=4, text=text)


def one(title: str, expr: str, legend: str, unit: str = "short", **more: Any) -> Panel:
    return Panel(title, (Query(expr, legend),), unit, **more)


def quantiles(title: str, metric: str, by: str = "", **more: Any) -> Panel:
    """The median, the 90th and the 99th percentile of a histogram in seconds."""
    queries: list[Query] = []
    for quantile in (0.5, 0.9, 0.99):
        expr = f"histogram_quantile({quantile:g}, sum by (le) (rate({metric}_bucket{by}[{RATE}])))"
        queries.append(Query(expr, f"p{quantile * 100:g}"))
    return Panel(title, tuple(queries), "s", **more)


FAULTS = 'outcome=~"failed|broken|overloaded"'


def _variables(variables: tuple[Variable, ...]) -> list[dict[str, Any]]:
    source = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    return [source, *map(_variable, variables)]


def _variable(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "label": variable.label,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": variable.query,
        "query": {"query": variable.query, "refId": variable.name},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _grid(rows: tuple[Row, ...]) -> list[dict[str, Any]]:
    """Grafana's places of all panels, row after row, from left to right."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        panels.append(
            {"type": "row", "title": row.title, "collapsed": False, "panels": [], "gridPos": _place(0, y, _COLUMNS, 1)}
        )
        y += 1
        x = 0
        height = _STAT_HEIGHT if row.panels[0].kind == "stat" else _HEIGHT
        for panel in row.panels:
            if x + panel.width > _COLUMNS:
                x = 0
                y += height
            panels.append(_panel(panel, _place(x, y, panel.width, height)))
            x += panel.width
        y += height
    return [{"id": number, **panel} for number, panel in enumerate(panels, 1)]


def _place(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + number), "datasource": DATASOURCE, "expr": query.expr, "legendFormat": query.legend}
        for number, query in enumerate(panel.queries)
    ]
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": DATASOURCE,
        "gridPos": place,
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
    }


def for_all(expr: str, rate: str) -> str:
    """A panel's query with all models and keys chosen, and rates over ``rate``: as Grafana would send it."""
    return expr.replace(RATE, rate).replace("$model", ".+").replace("$key", ".+")
