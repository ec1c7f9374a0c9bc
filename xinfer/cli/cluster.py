"""Commands about a cluster that runs here: ``stop``, ``status``."""

from __future__ import annotations

import time
from typing import Any

import click

from xinfer import settings
from xinfer.cli.options import as_json, drain_timeout, print_json
from xinfer.cli.table import print_table
from xinfer.cluster.lifecycle import AT_ONCE_S, NodeLifecycle


@click.command()
@drain_timeout
@as_json
def stop(drain_timeout: float, as_json: bool) -> None:
    """Stop the server and every model. Ctrl-C while it drains ends what is left at once."""
    node = NodeLifecycle(settings.home())
    try:
        node.drain(drain_timeout)
        stopped = node.stop()
    except KeyboardInterrupt:
        stopped = node.stop(grace_s=AT_ONCE_S)
    if as_json:
        print_json({"stopped": stopped})
    else:
        click.echo("Stopped." if stopped else "Nothing was running.")


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
    facts: dict[str, Any] = {"running": True, "endpoint": record.endpoint, "ray_address": record.ray_address}
    facts |= {"uptime_s": int(time.time() - record.started_at), "nodes": [], "models": []}
    if record.endpoint:
        facts |= _ask(record.endpoint)
    if as_json:
        print_json(facts)
    else:
        _print_status(facts)


def _ask(endpoint: str) -> dict[str, Any]:
    from xinfer.client import RESTfulClient

    with RESTfulClient(endpoint, timeout=10) as client:
        instances = client.get_instance_info(None, None)
        return {"nodes": client.cluster_info(detailed=True), "models": instances}


def _print_status(facts: dict[str, Any]) -> None:
    click.echo(f"Running at {facts['endpoint'] or facts['ray_address']} for {facts['uptime_s']} s.")
    if facts["nodes"]:
        columns = ["node_type", "ip_address", "gpu_count", "cpu_count"]
        print_table(
            ["NODE", "ADDRESS", "GPUS", "CPUS"], [[node.get(name) for name in columns] for node in facts["nodes"]]
        )
    if facts["models"]:
        columns = ["model_uid", "model_name", "status", "replica"]
        print_table(
            ["UID", "NAME", "STATUS", "REPLICAS"], [[model[name] for name in columns] for model in facts["models"]]
        )
