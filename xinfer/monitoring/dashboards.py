"""Grafana's dashboards of the cluster and of models, and the list of all."""

from __future__ import annotations

from xinfer.monitoring.panels import FAULTS, RATE, Dashboard, Panel, Query, Row, Variable, one, quantiles, stat
from xinfer.monitoring.tenants import TENANTS

CLUSTER = Dashboard(
    "xinfer-cluster",
    "xinfer: cluster",
    (
        Row(
            "At a glance",
            (
                stat("Supervisors up", 'sum(up{job="xinfer-supervisor"})'),
                stat("Engines up", 'sum(up{job="xinfer-engine"})'),
                stat("Nodes", "max(xinfer_nodes)"),
                stat("Requests per second", f"sum(rate(xinfer_requests_total[{RATE}]))", "reqps"),
                stat("Tokens per second", f"sum(rate(vllm:generation_tokens_total[{RATE}]))"),
                stat(
                    "Requests that fail",
                    f"sum(rate(xinfer_requests_total{{{FAULTS}}}[{RATE}])) / sum(rate(xinfer_requests_total[{RATE}]))",
                    "percentunit",
                    "Failed, broken off or refused because all replicas were full.",
                ),
            ),
        ),
        Row(
            "Requests",
            (
                one(
                    "Requests by model",
                    f"sum by (model) (rate(xinfer_requests_total[{RATE}]))",
                    "{{model}}",
                    "reqps",
                ),
                one(
                    "Requests by outcome",
                    f"sum by (outcome) (rate(xinfer_requests_total[{RATE}]))",
                    "{{outcome}}",
                    "reqps",
                ),
                one("Requests in flight", "sum by (model) (xinfer_requests_in_flight)", "{{model}}"),
                quantiles("Time to first token", "xinfer_time_to_first_token_seconds"),
                one(
                    "Tokens generated",
                    f"sum by (model) (rate(vllm:generation_tokens_total[{RATE}]))",
                    "{{model}}",
                    text="Per second, as the engines count them.",
                ),
                one(
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
                one("States", "max by (model, state) (xinfer_model_state) == 1", "{{model}}: {{state}}"),
                one(
                    "Launches: time in each stage",
                    "max by (model, stage) (xinfer_launch_stage_duration_seconds_sum) / "
                    "max by (model, stage) (xinfer_launch_stage_duration_seconds_count)",
                    "{{model}}: {{stage}}",
                    "s",
                    text="Mean over the replicas that have come up.",
                ),
                one(
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
                one(
                    "Replicas that ended",
                    "sum by (reason) (max by (model, reason) (xinfer_replica_ends_total))",
                    "{{reason}}",
                ),
            ),
        ),
        Row(
            "Nodes",
            (
                one("CPU", "max by (node) (ray_node_cpu_utilization)", "{{node}}", "percent"),
                one(
                    "Memory",
                    "max by (node) (ray_node_mem_used) / max by (node) (ray_node_mem_total)",
                    "{{node}}",
                    "percentunit",
                ),
                one("Disk", "max by (node) (ray_node_disk_utilization_percentage)", "{{node}}", "percent"),
                one(
                    "GPU use",
                    "avg by (node, GpuIndex) (ray_node_gpus_utilization)",
                    "{{node}} GPU {{GpuIndex}}",
                    "percent",
                    needs_gpu=True,
                ),
                one(
                    "GPU memory",
                    "max by (node, GpuIndex) (ray_node_gram_used) * 1e6",
                    "{{node}} GPU {{GpuIndex}}",
                    "bytes",
                    needs_gpu=True,
                ),
                one(
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
                one(
                    "CPU of supervisors",
                    f'rate(process_cpu_seconds_total{{job="xinfer-supervisor"}}[{RATE}])',
                    "{{node}} {{instance}}",
                    text="In cores. A supervisor has one thread that matters: near 1, start more of them.",
                ),
                one(
                    "Memory of supervisors",
                    'process_resident_memory_bytes{job="xinfer-supervisor"}',
                    "{{node}} {{instance}}",
                    "bytes",
                ),
                one(
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
                one(
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
                one(
                    "Requests in flight, by replica",
                    f"sum by (replica, node) (xinfer_replica_requests_in_flight{_M})",
                    "{{replica}} on {{node}}",
                ),
                quantiles("Time to first token", "xinfer_time_to_first_token_seconds", _M, text="Streams only."),
                quantiles(
                    "Between tokens",
                    "xinfer_inter_token_latency_seconds",
                    _M,
                    text="Between two chunks of a stream, as they come from the engine.",
                ),
                quantiles("Duration", "xinfer_request_duration_seconds", _M),
                quantiles("Time to response", "xinfer_time_to_response_seconds", _M),
                Panel(
                    "Retried and resumed",
                    (
                        Query(f"sum(rate(xinfer_request_retries_total{_M}[{RATE}]))", "sent once more"),
                        Query(f"sum(rate(xinfer_streams_resumed_total{_M}[{RATE}]))", "streams resumed"),
                    ),
                    "reqps",
                ),
                one(
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
                one(
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
                one(
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
                one(
                    "KV cache in use", f"avg by (replica) (vllm:kv_cache_usage_perc{_M})", "{{replica}}", "percentunit"
                ),
                Panel(
                    "Tokens per second",
                    (
                        Query(f"sum(rate(vllm:prompt_tokens_total{_M}[{RATE}]))", "prompt"),
                        Query(f"sum(rate(vllm:generation_tokens_total{_M}[{RATE}]))", "generated"),
                    ),
                ),
                quantiles("Time in the engine's queue", "vllm:request_queue_time_seconds", _M),
                one("Preemptions", f"sum by (replica) (rate(vllm:num_preemptions_total{_M}[{RATE}]))", "{{replica}}"),
                one(
                    "Replicas, by stage",
                    f"max by (stage) (xinfer_model_replicas{_M}) > 0",
                    "{{stage}}",
                ),
                one(
                    "Launches: time in each stage",
                    f"max by (stage) (xinfer_launch_stage_duration_seconds_sum{_M}) / "
                    f"max by (stage) (xinfer_launch_stage_duration_seconds_count{_M})",
                    "{{stage}}",
                    "s",
                ),
                one(
                    "Replicas that ended",
                    f"max by (model, reason) (xinfer_replica_ends_total{_M})",
                    "{{model}}: {{reason}}",
                ),
                one(
                    "Requests that failed",
                    f"sum(rate(xinfer_requests_total{_of_model(FAULTS)}[{RATE}])) / "
                    f"sum(rate(xinfer_requests_total{_M}[{RATE}]))",
                    "share",
                    "percentunit",
                ),
            ),
        ),
    ),
    variables=(Variable("model", "Model", "label_values(xinfer_model_replicas_wanted, model)"),),
)

DASHBOARDS = (CLUSTER, MODEL, TENANTS)
