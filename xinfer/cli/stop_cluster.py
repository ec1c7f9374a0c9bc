"""The command ``stop-cluster``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from xinfer.cli.options import as_json, print_json, with_client

if TYPE_CHECKING:
    from xinfer.client import RESTfulClient


@click.command("stop-cluster")
@with_client
@click.option("-y", "--yes", "--check", is_flag=True, help="Do not ask for confirmation.")
@as_json
def stop_cluster(client: RESTfulClient, yes: bool, as_json: bool) -> None:
    """Stop every node of a cluster. Works from any machine; `xinfer stop` stops only this machine's node."""
    if not yes:
        # The addresses, as the endpoint may be another cluster's than one has in mind.
        nodes = ", ".join(worker["work-ip"] for worker in client.get_workers_info())
        question = f"Stop the cluster at {client.base_url} ({nodes}) and every model?"
        click.confirm(question, abort=True, err=True)
    client.abort_cluster()
    if as_json:
        print_json({"stopping": True})
    else:
        click.echo("The cluster is stopping.")
