"""The alert rules: each with what it means and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import yaml

SLO = 0.999
"""The share of requests that the alerts take for promised: not answered with an error through the cluster's fault."""
_FAULTS = 'outcome=~"failed|broken|overloaded"'
_HEAD = "# Alert rules for a cluster of xinfer, made by `xinfer metrics files`; not meant to be edited by hand.\n"


@dataclass(frozen=True, slots=True)
class Rule:
    """One alert. ``for_`` is how long the condition has to hold, in Prometheus' words."""

    name: str
    severity: Literal["page", "ticket"]
    """``page`` wakes somebody, ``ticket`` waits for the morning."""
    expr: str
    for_: str
    summary: str
    action: str
    """What to do, in a few sentences."""


def _burning(short: str, long: str, factor: float) -> str:
    """The share of errors over both windows is ``factor`` times what the SLO allows."""
    allowed = round(factor * (1 - SLO), 6)
    return f"{_fault_share(long)} > {allowed:g} and {_fault_share(short)} > {allowed:g}"


def _fault_share(window: str) -> str:
    faults = f"sum by (model) (rate(xinfer_requests_total{{{_FAULTS}}}[{window}]))"
    return f"{faults} / sum by (model) (rate(xinfer_requests_total[{window}]))"


RULES = (
    Rule(
        "XinferErrorBudgetBurnsFast",
        "page",
        _burning("5m", "1h", 14.4),
        "2m",
        "{{ $labels.model }}: {{ $value | humanizePercentage }} of requests fail; the month's error budget lasts 2 days.",
        "`xinfer describe MODEL` and `xinfer logs MODEL` show its replicas and why the last one failed. The model board's "
        "panel of outcomes tells failed (the engine is lost or broken) from overloaded (add replicas).",
    ),
    Rule(
        "XinferErrorBudgetBurnsSlowly",
        "ticket",
        _burning("30m", "6h", 6),
        "15m",
        "{{ $labels.model }}: {{ $value | humanizePercentage }} of requests fail; the month's error budget lasts 5 days.",
        "Look at the outcomes on the model board. Overloaded: add replicas or raise `request_limits`. Failed or broken: the "
        "events of the model (`GET /v1/models/MODEL/events`) name the replicas that were lost.",
    ),
    Rule(
        "XinferFirstTokenSlow",
        "ticket",
        "histogram_quantile(0.9, sum by (model, le) (rate(xinfer_time_to_first_token_seconds_bucket[10m]))) > 5",
        "10m",
        "{{ $labels.model }}: one in ten streams waits {{ $value | humanizeDuration }} or more for its first token.",
        "If requests wait in the engines' queues (model board), add replicas with `xinfer launch --replica` or by "
        "`POST /v1/models/MODEL/replicas`. If none wait, prompts are long: look at prompt tokens and prefix cache hits.",
    ),
    Rule(
        "XinferReplicaMissing",
        "ticket",
        'max by (model) (xinfer_model_replicas{stage="ready"}) < max by (model) (xinfer_model_replicas_wanted) '
        'and on (model) max by (model) (xinfer_model_state{state="ready"}) == 1',
        "5m",
        "{{ $labels.model }} has {{ $value }} replicas that take requests, fewer than it should.",
        "`xinfer logs MODEL` shows the replica on its way up. If it stays in the stage placing, no node has room: "
        "`xinfer status` shows the nodes and their GPUs.",
    ),
    Rule(
        "XinferReplicasCrash",
        "page",
        'sum by (model) (max by (model, reason) (increase(xinfer_replica_ends_total{reason=~"failed|lost"}[15m]))) > 1.5',
        "0m",
        "{{ $labels.model }}: replicas were lost {{ $value | humanize }} times within 15 minutes.",
        "`xinfer logs MODEL` has the last words of the engine that failed. Out of memory: launch it with fewer sequences "
        "(`--max-num-seqs`) or a shorter context. After three failures in a row the registry gives the model up.",
    ),
    Rule(
        "XinferModelFailed",
        "page",
        'max by (model) (xinfer_model_state{state="failed"}) == 1',
        "0m",
        "{{ $labels.model }} is given up: its launch failed, or its engines failed three times in a row.",
        "`xinfer logs MODEL` says why. Launch it again with what it lacks, or `xinfer terminate MODEL` to forget it.",
    ),
    Rule(
        "XinferKvCacheFull",
        "ticket",
        "avg by (model) (vllm:kv_cache_usage_perc) > 0.95",
        "10m",
        "{{ $labels.model }}: {{ $value | humanizePercentage }} of its engines' KV cache is in use.",
        "Engines will put requests off, or preempt them and compute their prompts again. Add replicas, give it a larger KV "
        "cache (`--kv-cache-gib`), or fewer and shorter requests (`--max-num-seqs`, `--max-model-len`).",
    ),
    Rule(
        "XinferQueueGrows",
        "ticket",
        "sum by (model) (vllm:num_requests_waiting) > 10 and sum by (model) (deriv(vllm:num_requests_waiting[10m])) > 0",
        "10m",
        "{{ $labels.model }}: {{ $value }} requests wait in its engines' queues, and they are getting more.",
        "More arrive than its engines take. Add replicas; until they are up, a lower `request_limits` makes clients back off.",
    ),
    Rule(
        "XinferTargetDown",
        "page",
        'up{job=~"xinfer-(supervisor|engine|haproxy|ray)"} == 0',
        "2m",
        "{{ $labels.job }} at {{ $labels.instance }} (node {{ $labels.node }}) does not answer Prometheus.",
        "`xinfer status` tells whether the node is there. An engine that serves requests but no metrics is overloaded or "
        "behind a firewall that Prometheus does not pass.",
    ),
    Rule(
        "XinferNoSupervisor",
        "page",
        'absent(up{job="xinfer-supervisor"} == 1)',
        "1m",
        "No supervisor can be scraped: the API is down, or Prometheus does not reach it.",
        "`xinfer status` on the head. If the cluster is gone, `xinfer start` brings it back with its models; the logs are in "
        "`logs/` of XINFER_HOME.",
    ),
    Rule(
        "XinferNodeGone",
        "page",
        "max(xinfer_nodes) < max(max_over_time(xinfer_nodes[1h]))",
        "2m",
        "The cluster has {{ $value }} nodes, fewer than within the last hour.",
        "`xinfer status` lists those that are left. Its models' replicas start elsewhere if there is room. Bring the node back "
        "with `xinfer start --join`; after a planned removal, the alert ends by itself within an hour.",
    ),
    Rule(
        "XinferDiskNearlyFull",
        "ticket",
        "max by (node) (ray_node_disk_utilization_percentage) > 90",
        "10m",
        "{{ $labels.node }}: {{ $value | humanize }} % of the disk is used.",
        "`xinfer cached` lists the models' files on each node, `xinfer remove-cache` deletes those of one. "
        "When the disk is full, downloads and logs stop.",
    ),
    Rule(
        "XinferCertificateEnds",
        "ticket",
        "min by (node) (xinfer_certificate_expiry_timestamp_seconds) - time() < 14 * 86400",
        "10m",
        "{{ $labels.node }}: the certificate of the REST API ends in {{ $value | humanizeDuration }}.",
        "Put a new certificate and its key into the files that `xinfer start --tls-cert` names: it is taken without a restart.",
    ),
)


def rules_file() -> str:
    """``rules.yml``, as Prometheus reads it."""
    group = {"name": "xinfer", "rules": [_rendered(rule) for rule in RULES]}
    return _HEAD + yaml.safe_dump({"groups": [group]}, sort_keys=False, width=120)


def _rendered(rule: Rule) -> dict[str, Any]:
    return {
        "alert": rule.name,
        "expr": rule.expr,
        "for": rule.for_,
        "labels": {"severity": rule.severity},
        "annotations": {"summary": rule.summary, "action": rule.action},
    }
