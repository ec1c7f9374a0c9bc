"""Grafana's dashboards: panels as plain data, and the JSON made of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
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
class Dashboard:
    """One board. With ``by_model`` it has a variable ``model``."""

    uid: str
    title: str
    rows: tuple[Row, ...]
    by_model: bool = field(default=False)

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
            "templating": {"list": _variables(self.by_model)},
            "panels": _grid(self.rows),
        }
        return json.dumps(dashboard, indent=2) + "\n"


def _stat(title: str, expr: str, unit: str = "short", text: str = "") -> Panel:
    return Panel(title, (Query(expr, ""),), unit, "stat", width=4, text=text)


def _one(title: str, expr: str, legend: str, unit: str = "short", **more: Any) -> Panel:
    return Panel(title, (Query(expr, legend),), unit, **more)


def _quantiles(title: str, metric: str, by: str = "", **more: Any) -> Panel:
    """The median, the 90th and the 99th percentile of a histogram in seconds."""
    queries: list[Query] = []
    for quantile in (0.5, 0.9, 0.99):
        expr = f"histogram_quantile({quantile:g}, sum by (le) (rate({metric}_bucket{by}[{RATE}])))"
        queries.append(Query(expr, f"p{quantile * 100:g}"))
    return Panel(title, tuple(queries), "s", **more)


_FAULTS = 'outcome=~"failed|broken|overloaded"'

CLUSTER = Dashboard(
    "xinfer-cluster",
    "xinfer: cluster",
    (
        Row(
            "At a glance",
            (
                _stat("Supervisors up", 'sum(up{job="xinfer-supervisor"})'),
                _stat("Engines up", 'sum(up{job="xinfer-engine"})'),
                _stat("Nodes", "max(xinfer_nodes)"),
                _stat("Requests per second", f"sum(rate(xinfer_requests_total[{RATE}]))", "reqps"),
                _stat("Tokens per second", f"sum(rate(vllm:generation_tokens_total[{RATE}]))"),
                _stat(
                    "Requests that fail",
                    f"sum(rate(xinfer_requests_total{{{_FAULTS}}}[{RATE}])) / sum(rate(xinfer_requests_total[{RATE}]))",
                    "percentunit",
                    "Failed, broken off or refused because all replicas were full.",
                ),
            ),
        ),
        Row(
            "Requests",
            (
                _one(
                    "Requests by model",
                    f"sum by (model) (rate(xinfer_requests_total[{RATE}]))",
                    "{{model}}",
                    "reqps",
                ),
                _one(
                    "Requests by outcome",
                    f"sum by (outcome) (rate(xinfer_requests_total[{RATE}]))",
                    "{{outcome}}",
                    "reqps",
                ),
                _one("Requests in flight", "sum by (model) (xinfer_requests_in_flight)", "{{model}}"),
                _quantiles("Time to first token", "xinfer_time_to_first_token_seconds"),
                _one(
                    "Tokens generated",
                    f"sum by (model) (rate(vllm:generation_tokens_total[{RATE}]))",
                    "{{model}}",
                    text="Per second, as the engines count them.",
                ),
                _one(
                    "Requests waiting in engines",
                    "sum by (model) (vllm:num_requests_waiting)",
                    "{{model}}",
                    text="vLLM's own queue; the gateway has none.",
                ),
            ),
        ),
        Row(
            "Models",
            (
                Panel(
                    "Replicas",
                    (
                        Query('max by (model) (xinfer_model_replicas{stage="ready"})', "{{model}} ready"),
                        Query("max by (model) (xinfer_model_replicas_wanted)", "{{model}} wanted"),
                    ),
                ),
                _one("States", "max by (model, state) (xinfer_model_state) == 1", "{{model}}: {{state}}"),
                _one(
                    "Launches: time in each stage",
                    "max by (model, stage) (xinfer_launch_stage_duration_seconds_sum) / "
                    "max by (model, stage) (xinfer_launch_stage_duration_seconds_count)",
                    "{{model}}: {{stage}}",
                    "s",
                    text="Mean over the replicas that have come up.",
                ),
                _one(
                    "Launches by outcome",
                    "sum by (outcome) (max by (model, outcome) (xinfer_launches_total))",
                    "{{outcome}}",
                    text="Of the models that are there, since the registry started.",
                ),
                Panel(
                    "Sleeping, waking, scaling",
                    (
                        Query("sum(max by (model) (xinfer_model_sleeps_total))", "fell asleep"),
                        Query("sum(max by (model) (xinfer_model_wakes_total))", "woke up"),
                        Query(
                            "sum by (direction) (max by (model, direction) (xinfer_model_scalings_total))",
                            "scaled {{direction}}",
                        ),
                    ),
                ),
                _one(
                    "Replicas that ended",
                    "sum by (reason) (max by (model, reason) (xinfer_replica_ends_total))",
                    "{{reason}}",
                ),
            ),
        ),
        Row(
            "Nodes",
            (
                _one("CPU", "max by (node) (ray_node_cpu_utilization)", "{{node}}", "percent"),
                _one(
                    "Memory",
                    "max by (node) (ray_node_mem_used) / max by (node) (ray_node_mem_total)",
                    "{{node}}",
                    "percentunit",
                ),
                _one("Disk", "max by (node) (ray_node_disk_utilization_percentage)", "{{node}}", "percent"),
                _one(
                    "GPU use",
                    "avg by (node, GpuIndex) (ray_node_gpus_utilization)",
                    "{{node}} GPU {{GpuIndex}}",
                    "percent",
                    needs_gpu=True,
                ),
                _one(
                    "GPU memory",
                    "max by (node, GpuIndex) (ray_node_gram_used) * 1e6",
                    "{{node}} GPU {{GpuIndex}}",
                    "bytes",
                    needs_gpu=True,
                ),
                _one(
                    "Network sent",
                    "max by (node) (ray_node_network_send_speed)",
                    "{{node}}",
                    "Bps",
                ),
            ),
        ),
        Row(
            "Gateway",
            (
                _one(
                    "CPU of supervisors",
                    f'rate(process_cpu_seconds_total{{job="xinfer-supervisor"}}[{RATE}])',
                    "{{node}} {{instance}}",
                    text="In cores. A supervisor has one thread that matters: near 1, start more of them.",
                ),
                _one(
                    "Memory of supervisors",
                    'process_resident_memory_bytes{job="xinfer-supervisor"}',
                    "{{node}} {{instance}}",
                    "bytes",
                ),
                _one(
                    "HAProxy: connections",
                    "sum by (node) (haproxy_process_current_connections)",
                    "{{node}}",
                ),
            ),
        ),
    ),
)

_M = '{model=~"$model"}'


def _of_model(labels: str) -> str:
    return f'{{model=~"$model",{labels}}}'


MODEL = Dashboard(
    "xinfer-model",
    "xinfer: model",
    (
        Row(
            "Requests",
            (
                _one(
                    "Requests by outcome",
                    f"sum by (outcome) (rate(xinfer_requests_total{_M}[{RATE}]))",
                    "{{outcome}}",
                    "reqps",
                ),
                Panel(
                    "Requests in flight",
                    (
                        Query(f"sum by (model) (xinfer_requests_in_flight{_M})", "{{model}}"),
                        Query(f"max by (model) (xinfer_model_request_limit{_M})", "{{model}} limit"),
                    ),
                ),
                _one(
                    "Requests in flight, by replica",
                    f"sum by (replica, node) (xinfer_replica_requests_in_flight{_M})",
                    "{{replica}} on {{node}}",
                ),
                _quantiles("Time to first token", "xinfer_time_to_first_token_seconds", _M, text="Streams only."),
                _quantiles(
                    "Between tokens",
                    "xinfer_inter_token_latency_seconds",
                    _M,
                    text="Between two chunks of a stream, as they come from the engine.",
                ),
                _quantiles("Duration", "xinfer_request_duration_seconds", _M),
                _quantiles("Time to response", "xinfer_time_to_response_seconds", _M),
                Panel(
                    "Retried and resumed",
                    (
                        Query(f"sum(rate(xinfer_request_retries_total{_M}[{RATE}]))", "sent once more"),
                        Query(f"sum(rate(xinfer_streams_resumed_total{_M}[{RATE}]))", "streams resumed"),
                    ),
                    "reqps",
                ),
                _one(
                    "Waiting for the model to wake",
                    f"sum(rate(xinfer_wake_wait_seconds_count{_M}[{RATE}]))",
                    "requests",
                    "reqps",
                ),
            ),
        ),
        Row(
            "Routing",
            (
                _one(
                    "Why a replica was chosen",
                    f"sum by (reason) (rate(xinfer_routing_decisions_total{_M}[{RATE}]))",
                    "{{reason}}",
                    "reqps",
                ),
                Panel(
                    "Prompts that replicas know",
                    (
                        Query(f"sum(rate(xinfer_prompt_blocks_total{_M}[{RATE}]))", "blocks compared"),
                        Query(f"sum(rate(xinfer_prompt_blocks_known_total{_M}[{RATE}]))", "blocks known"),
                    ),
                    text="Blocks of 256 bytes per second; only a model with several replicas has them compared.",
                ),
                _one(
                    "Prefix cache hits in engines",
                    f"sum by (replica) (rate(vllm:prefix_cache_hits_total{_M}[{RATE}])) / "
                    f"sum by (replica) (rate(vllm:prefix_cache_queries_total{_M}[{RATE}]))",
                    "{{replica}}",
                    "percentunit",
                ),
            ),
        ),
        Row(
            "Engines",
            (
                Panel(
                    "Requests in engines",
                    (
                        Query(f"sum by (replica) (vllm:num_requests_running{_M})", "{{replica}} running"),
                        Query(f"sum by (replica) (vllm:num_requests_waiting{_M})", "{{replica}} waiting"),
                    ),
                ),
                _one(
                    "KV cache in use", f"avg by (replica) (vllm:kv_cache_usage_perc{_M})", "{{replica}}", "percentunit"
                ),
                Panel(
                    "Tokens per second",
                    (
                        Query(f"sum(rate(vllm:prompt_tokens_total{_M}[{RATE}]))", "prompt"),
                        Query(f"sum(rate(vllm:generation_tokens_total{_M}[{RATE}]))", "generated"),
                    ),
                ),
                _quantiles("Time in the engine's queue", "vllm:request_queue_time_seconds", _M),
                _one("Preemptions", f"sum by (replica) (rate(vllm:num_preemptions_total{_M}[{RATE}]))", "{{replica}}"),
                _one(
                    "Replicas, by stage",
                    f"max by (stage) (xinfer_model_replicas{_M}) > 0",
                    "{{stage}}",
                ),
                _one(
                    "Launches: time in each stage",
                    f"max by (stage) (xinfer_launch_stage_duration_seconds_sum{_M}) / "
                    f"max by (stage) (xinfer_launch_stage_duration_seconds_count{_M})",
                    "{{stage}}",
                    "s",
                ),
                _one(
                    "Replicas that ended",
                    f"max by (model, reason) (xinfer_replica_ends_total{_M})",
                    "{{model}}: {{reason}}",
                ),
                _one(
                    "Requests that failed",
                    f"sum(rate(xinfer_requests_total{_of_model(_FAULTS)}[{RATE}])) / "
                    f"sum(rate(xinfer_requests_total{_M}[{RATE}]))",
                    "share",
                    "percentunit",
                ),
            ),
        ),
    ),
    by_model=True,
)

DASHBOARDS = (CLUSTER, MODEL)


def _variables(by_model: bool) -> list[dict[str, Any]]:
    source = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    if not by_model:
        return [source]
    query = "label_values(xinfer_model_replicas_wanted, model)"
    model = {
        "name": "model",
        "label": "Model",
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": "model"},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "current": {"text": ["All"], "value": ["$__all"]},
    }
    return [source, model]


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
