"""Draws it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from xinfer.top.window import ModelRow, Window

_STATES = {"ready": "green", "sleeping": "cyan", "draining": "cyan", "failed": "red", "cancelled": "red"}
_GIB = 1024**3


def draw(window: Window, endpoint: str) -> RenderableType:
    """The whole picture."""
    rows = window.rows()
    in_flight = sum(row.in_flight for row in rows)
    tokens = sum(row.tokens_per_s or 0 for row in rows)
    head = Text(
        f"{endpoint}   {len(rows)} models   {in_flight} requests in flight   {tokens:.0f} tokens/s", style="bold"
    )
    return Group(head, Text(), _models(rows), Text(), _nodes(window.latest.nodes))


def _models(rows: list[ModelRow]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("MODEL", no_wrap=True)
    # Narrow headers: a terminal of 80 columns has to show all of it.
    table.add_column("STATE", no_wrap=True)
    for name in ("REPL", "RUN", "WAIT", "REQ/S", "TOK/S", "TTFT P50", "P90", "KV"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.uid,
            Text(row.state, style=_STATES.get(row.state, "yellow")),
            f"{row.ready}/{row.wanted}",
            str(row.in_flight),
            _shown(row.waiting, "{}"),
            _shown(row.requests_per_s, "{:.1f}"),
            _shown(row.tokens_per_s, "{:.0f}"),
            _time(row.ttft_p50_s),
            _time(row.ttft_p90_s),
            _shown(None if row.kv_cache is None else 100 * row.kv_cache, "{:.0f} %"),
        )
    return table


def _nodes(nodes: tuple[Mapping[str, Any], ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("NODE", no_wrap=True)
    for name in ("CPU", "MEMORY", "GPUS", "GPU USE", "GPU MEMORY"):
        table.add_column(name, justify="right", no_wrap=True)
    for node in nodes:
        table.add_row(
            str(node.get("ip_address", "-")),
            _cpu(node),
            _share(node.get("mem_used"), node.get("mem_total")),
            str(node.get("gpu_count", 0)),
            _shown(node.get("gpu_utilization"), "{:.0f} %"),
            _gpu_memory(node),
        )
    return table


def _cpu(node: Mapping[str, Any]) -> str:
    count, available = node.get("cpu_count"), node.get("cpu_available")
    if not count or available is None:
        return "-"
    return f"{100 * (1 - available / count):.0f} %"


def _gpu_memory(node: Mapping[str, Any]) -> str:
    total, available = node.get("gpu_vram_total"), node.get("gpu_vram_available")
    if not total or available is None:
        return "-"
    return _share(total - available, total)


def _share(used: float | None, total: float | None) -> str:
    if used is None or not total:
        return "-"
    return f"{used / _GIB:.1f}/{total / _GIB:.1f} GiB"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s"


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
