"""The command ``nodes``: list them, take them out of use and back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from xinfer import settings
from xinfer.cli.options import as_json, print_json, with_client
from xinfer.cli.table import print_table
from xinfer.node_labels import as_text

if TYPE_CHECKING:
    from xinfer.client import RESTfulClient

_HEADERS = (
    "NODE",
    "ADDRESS",
    "HOST",
    "STATE",
    "GPUS",
    "CPU %",
    "MEMORY GIB",
    "DISK FREE GIB",
    "WARM HOST",
    "LABELS",
    "REPLICAS",
)
_ID_LENGTH = 8
_GIB = 1024**3
_POLL_PERIOD_S = 1.0

_node = click.argument("node", metavar="NODE")


@click.group(invoke_without_command=True)
@with_client
@as_json
@click.pass_context
def nodes(ctx: click.Context, client: RESTfulClient, as_json: bool) -> None:
    """List the nodes of the cluster, or take one out of use.

    NODE is an address, a hostname, or the beginning of an ID.
    """
    if ctx.invoked_subcommand:
        return
    found = client.list_nodes()
    if as_json:
        print_json(found)
    else:
        print_table(_HEADERS, list(map(_row, found)))


@nodes.command()
@_node
@click.option("--wait/--no-wait", default=True, show_default=True, help="Return when no replica is left, or at once.")
@as_json
@with_client
def drain(client: RESTfulClient, node: str, wait: bool, as_json: bool) -> None:
    """Take a node out of use: its replicas are started on other nodes before they end there.

    A replica for which no other node has room stays until there is some.
    """
    found = client.drain_node(node)
    left: int | None = None
    while wait and found["state"] == "DRAINING":
        if len(found["replicas"]) != left:
            left = len(found["replicas"])
            names = ", ".join(replica["replica"] for replica in found["replicas"])
            click.echo(f"waiting for {left} replicas to move: {names}", err=True)
        time.sleep(_POLL_PERIOD_S)
        found = client.get_node(found["id"])
    if as_json:
        print_json(found)
    else:
        click.echo(f"Node {found['address']} is {found['state'].lower()}.")


@nodes.command()
@_node
@as_json
@with_client
def undrain(client: RESTfulClient, node: str, as_json: bool) -> None:
    """Have a drained node join the cluster anew, which takes some seconds."""
    client.undrain_node(node)
    if as_json:
        print_json({"node": node})
    else:
        click.echo(f"Node {node} joins anew.")


@nodes.command("join-command")
@as_json
def join_command(as_json: bool) -> None:
    """Show what to enter on another machine to join the cluster of this head. It contains the cluster's secret."""
    from xinfer.cluster import membership

    command = membership.join_command(settings.home())
    if as_json:
        print_json({"command": command})
    else:
        click.echo(command)


def _row(node: dict[str, Any]) -> list[Any]:
    memory, disk, cpu = node["memory"], node["disk"], node["cpu"]
    return [
        node["id"][:_ID_LENGTH],
        f"{node['address']} (head)" if node["head"] else node["address"],
        node["hostname"] or None,
        node["state"],
        _gpus(node),
        round(cpu["used_percent"]) if cpu else None,
        f"{memory['used'] / _GIB:.1f}/{memory['total'] / _GIB:.1f}" if memory else None,
        f"{disk['free'] / _GIB:.1f}" if disk else None,
        node["warm_host"],
        as_text(node["labels"]) or None,
        ", ".join(replica["replica"] for replica in node["replicas"]) or None,
    ]


def _gpus(node: dict[str, Any]) -> str:
    """Their number, and their names where the driver tells them."""
    names = sorted({gpu["name"] for gpu in node["gpus"]})
    count = f"{node['num_gpus']:g}"
    if names:
        return f"{count} {', '.join(names)}"
    return count
