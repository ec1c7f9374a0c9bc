"""A ``prometheus.yml`` that finds everything a cluster has by one route of its API."""

from __future__ import annotations

from typing import Any

import yaml

JOBS = ("supervisor", "engine", "haproxy", "ray")
"""What is scraped, as ``/v1/metrics/targets`` calls it; the jobs are called ``xinfer-engine`` and so on."""
RULES_FILE = "rules.yml"
_KEYED = ("supervisor", "haproxy")
"""What a cluster that requires API keys asks for one. Engines and Ray's agents ask for none."""
_HEAD = """\
# Prometheus for the xinfer cluster at {endpoint}, made by `xinfer metrics config`.
# Jobs: supervisors by their own addresses (not through HAProxy, which would give each scrape another one), every engine
# with vLLM's own metrics, the HAProxies by the supervisors of their nodes, and Ray's metrics of the nodes.
# Targets are listed anew every {refresh}; models that are launched or terminated need no change here.
# Engines and Ray's agents listen inside the cluster and ask for no key: run Prometheus where it reaches the nodes.
{keys}
"""
_NO_KEY = "# This cluster is taken to require no API key; with --api-key-file, the other jobs and the list of targets send one."
_KEY = "# The jobs of supervisors and HAProxies, and the list of targets, send the API key that the file named below holds."
_REFRESH = "10s"


def prometheus_config(
    endpoint: str, *, interval_s: float = 15.0, api_key_file: str | None = None, ca_file: str | None = None
) -> str:
    """The file's text. ``endpoint`` is the cluster's REST address as Prometheus reaches it; ``ca_file`` vouches for it."""
    head = _HEAD.format(endpoint=endpoint, refresh=_REFRESH, keys=_KEY if api_key_file else _NO_KEY)
    config: dict[str, Any] = {
        "global": {"scrape_interval": _duration(interval_s), "evaluation_interval": _duration(interval_s)},
        "rule_files": [RULES_FILE],
        "scrape_configs": [_job(component, endpoint, api_key_file, ca_file) for component in JOBS],
    }
    return head + yaml.safe_dump(config, sort_keys=False)


def _job(component: str, endpoint: str, api_key_file: str | None, ca_file: str | None) -> dict[str, Any]:
    discovery: dict[str, Any] = {
        "url": f"{endpoint}/v1/metrics/targets?component={component}",
        "refresh_interval": _REFRESH,
    }
    job: dict[str, Any] = {"job_name": f"xinfer-{component}"}
    if component == "supervisor":
        # Metrics of replicas have the replica's node; the supervisor's own is the target's.
        job["honor_labels"] = True
    if api_key_file:
        # Prometheus 2.42 does not assume the type where targets are asked for.
        discovery["authorization"] = {"type": "Bearer", "credentials_file": api_key_file}
        if component in _KEYED:
            # A copy: YAML would refer to the other one.
            job["authorization"] = dict(discovery["authorization"])
    if ca_file:
        discovery["tls_config"] = {"ca_file": ca_file}
    # Over HTTP, also where the endpoint has TLS: that is HAProxy's, and supervisors are scraped behind it.
    job["http_sd_configs"] = [discovery]
    if component == "engine":
        # The target has model, replica and node. vLLM's label says the same as model.
        job["metric_relabel_configs"] = [{"regex": "model_name", "action": "labeldrop"}]
    return job


def _duration(seconds: float) -> str:
    """As Prometheus writes it."""
    return f"{round(seconds * 1000)}ms"
