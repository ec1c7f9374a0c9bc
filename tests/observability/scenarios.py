"""For each alert rule, the time series of a scenario in which it fires, and of one that is close to it and must be quiet.

``promtool test rules`` plays them: a value per minute, in its notation (``0+10x60`` counts up by ten for an hour).
"""

from __future__ import annotations

from dataclasses import dataclass

REQUESTS = 'xinfer_requests_total{{model="m",outcome="{}"}}'
TTFT = 'xinfer_time_to_first_token_seconds_bucket{{model="m",le="{}"}}'
READY = 'xinfer_model_replicas{model="m",stage="ready"}'
WANTED = 'xinfer_model_replicas_wanted{model="m"}'
STATE = 'xinfer_model_state{{model="m",state="{}"}}'
ENDS = 'xinfer_replica_ends_total{{model="m",reason="{}",supervisor="{}"}}'
ENDS_AT = 'xinfer_certificate_expiry_timestamp_seconds{node="10.0.0.1",supervisor="a"}'
DISK = 'ray_node_disk_utilization_percentage{node="10.0.0.1"}'


@dataclass(frozen=True)
class Scenario:
    """``fires`` and ``quiet`` are series and values; each is looked at after ``minute``."""

    fires: dict[str, str]
    quiet: dict[str, str]
    minute: int
    labels: dict[str, str]
    """Of the alert."""


M = {"model": "m"}
SCENARIOS = {
    # 2 % of requests fail for two hours; then one minute of failures in a day without any, which the long window forgives.
    "XinferErrorBudgetBurnsFast": Scenario(
        {REQUESTS.format("ok"): "0+980x130", REQUESTS.format("failed"): "0+20x130"},
        {REQUESTS.format("ok"): "0+1000x130", REQUESTS.format("failed"): "0x124 5 5 5 5 5 5"},
        130,
        M,
    ),
    # 1 % for seven hours; 0.3 % stays below six times the budget.
    "XinferErrorBudgetBurnsSlowly": Scenario(
        {REQUESTS.format("ok"): "0+990x420", REQUESTS.format("overloaded"): "0+10x420"},
        {REQUESTS.format("ok"): "0+997x420", REQUESTS.format("overloaded"): "0+3x420"},
        420,
        M,
    ),
    "XinferFirstTokenSlow": Scenario(
        {TTFT.format("1.0"): "0+8x40", TTFT.format("10.0"): "0+10x40", TTFT.format("+Inf"): "0+10x40"},
        {TTFT.format("1.0"): "0+10x40", TTFT.format("10.0"): "0+10x40", TTFT.format("+Inf"): "0+10x40"},
        40,
        M,
    ),
    # A model that sleeps has no replicas and misses none.
    "XinferReplicaMissing": Scenario(
        {READY: "1x20", WANTED: "2x20", STATE.format("ready"): "1x20"},
        {READY: "0x20", WANTED: "2x20", STATE.format("ready"): "0x20", STATE.format("sleeping"): "1x20"},
        20,
        M,
    ),
    # Two supervisors tell of the same losses; one loss, or replicas that are stopped, is no crash loop.
    "XinferReplicasCrash": Scenario(
        {ENDS.format("failed", each): "0x5 1 1 2 2 3x10" for each in "ab"},
        {ENDS.format("lost", "a"): "0x5 1x15", ENDS.format("stopped", "a"): "0+1x20"},
        15,
        M,
    ),
    "XinferModelFailed": Scenario({STATE.format("failed"): "0 1 1"}, {STATE.format("failed"): "0x3"}, 2, M),
    "XinferKvCacheFull": Scenario(
        {'vllm:kv_cache_usage_perc{model="m",replica="r1"}': "0.99x20"},
        {
            'vllm:kv_cache_usage_perc{model="m",replica="r1"}': "0.99x20",
            'vllm:kv_cache_usage_perc{model="m",replica="r2"}': "0.2x20",
        },
        20,
        M,
    ),
    # A queue that shrinks is being worked off.
    "XinferQueueGrows": Scenario(
        {'vllm:num_requests_waiting{model="m"}': "0+5x40"}, {'vllm:num_requests_waiting{model="m"}': "400-5x40"}, 40, M
    ),
    "XinferTargetDown": Scenario(
        {'up{job="xinfer-engine",instance="10.0.0.1:80",node="10.0.0.1"}': "1 0x5"},
        {'up{job="xinfer-engine",instance="10.0.0.1:80",node="10.0.0.1"}': "1 0 1x5", 'up{job="other"}': "0x6"},
        6,
        {"job": "xinfer-engine", "instance": "10.0.0.1:80", "node": "10.0.0.1"},
    ),
    "XinferNoSupervisor": Scenario(
        {'up{job="xinfer-supervisor",instance="a"}': "0x6"},
        {'up{job="xinfer-supervisor",instance="a"}': "0x6", 'up{job="xinfer-supervisor",instance="b"}': "1x6"},
        6,
        {},
    ),
    # The second node joins, and another supervisor hears of it a moment later.
    "XinferNodeGone": Scenario(
        {'xinfer_nodes{supervisor="a"}': "2x10 1x10"},
        {'xinfer_nodes{supervisor="a"}': "1x10 2x10", 'xinfer_nodes{supervisor="b"}': "1x11 2x9"},
        20,
        {},
    ),
    "XinferDiskNearlyFull": Scenario({DISK: "95x20"}, {DISK: "85x20"}, 20, {"node": "10.0.0.1"}),
    # Time begins at 0: one that ends in ten days, and one that is replaced in time by another that lasts a month.
    "XinferCertificateEnds": Scenario(
        {ENDS_AT: "864000x20"}, {ENDS_AT: "864000x5 2592000x15"}, 20, {"node": "10.0.0.1"}
    ),
}
