"""The commands ``stop`` and ``status``: the node of a cluster on this machine."""

from __future__ import annotations

import time
from typing import Any

import click

from xinfer import settings
from xinfer.cli.options import as_json, drain_timeout, print_json
from xinfer.cli.table import print_items
from xinfer.cluster.cluster_secret import operator_key
from xinfer.cluster.lifecycle import AT_ONCE_S, NodeLifecycle

_NODE_COLUMNS = {"NODE": "node_type", "ADDRESS": "ip_address", "GPUS": "gpu_count", "CPUS": "cpu_count"}
_MODEL_COLUMNS = {"UID": "model_uid", "NAME": "model_name", "STATE": "state", "REPLICAS": "replica"}


@click.command()
@drain_timeout
@as_json
def stop(drain_timeout: float, as_json: bool) -> None:
    """Stop the server and every model. Ctrl-C during the drain stops at once."""
    node = NodeLifecycle(settings.home())
    try:
        node.drain(drain_timeout)
        stopped = node.stop()
    except KeyboardInterrupt:
        stopped = node.stop(grace_s=AT_ONCE_S)
    if as_json:
        print_json({"stopped": stopped})
    elif stopped:
        click.echo("Stopped.")
    else:
        click.echo("Nothing was running.")


@click.command()
@as_json
def status(as_json: bool) -> None:
    """Show the server, its nodes and their devices."""
    record = NodeLifecycle(settings.home()).running()
    if record is None:
        if as_json:
            print_json({"running": False})
        else:
            click.echo("Nothing is running here; `xinfer start` starts a server.")
        raise SystemExit(1)
    facts: dict[str, Any] = {
        "running": True,
        "endpoint": record.endpoint,
        "ray_address": record.ray_address,
        "uptime_s": int(time.time() - record.started_at),
        "requires_keys": record.requires_keys,
        "nodes": [],
        "models": [],
    }
    # A node that joined has no endpoint of its own.
    if record.endpoint:
        facts |= _cluster_facts(record.endpoint, operator_key(settings.home()))
    if as_json:
        print_json(facts)
    else:
        _print_status(facts)


def _cluster_facts(endpoint: str, api_key: str | None) -> dict[str, Any]:
    from xinfer.cli.own_session import own_session
    from xinfer.client import RESTfulClient

    # Short, as this command is for servers that may hang.
    with RESTfulClient(endpoint, api_key, timeout=10, session=own_session(endpoint)) as client:
        instances = client.get_instance_info(None, None)
        return {"nodes": client.cluster_info(detailed=True), "models": instances}


def _print_status(facts: dict[str, Any]) -> None:
    keys = " Keys are required." if facts["requires_keys"] else ""
    click.echo(f"Running at {facts['endpoint'] or facts['ray_address']} for {facts['uptime_s']} s.{keys}")
    if facts["nodes"]:
        print_items(_NODE_COLUMNS, facts["nodes"])
    if facts["models"]:
        print_items(_MODEL_COLUMNS, facts["models"])
