"""The command ``logs``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from xinfer.cli.options import as_json, print_json, with_client, with_uid

if TYPE_CHECKING:
    from xinfer.client import RESTfulClient


@click.command()
@with_client
@with_uid
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="Lines of each replica.",
)
@as_json
def logs(client: RESTfulClient, model_uid: str, lines: int, as_json: bool) -> None:
    """Show the end of an engine's log, also of a failed launch."""
    found = client.get_model_log(model_uid, lines)
    if as_json:
        print_json(found)
        return
    replicas = found["replicas"]
    if not any(replica["lines"] for replica in replicas):
        # Not an error: the log of a launch that has just begun is empty.
        why = "its engine has not started, or its launch failed before"
        click.echo(f"{model_uid} has no engine log: {why}.", err=True)
    for replica in replicas:
        if len(replicas) > 1:
            click.echo(f"==> {replica['replica_uid']} <==")
        for line in replica["lines"]:
            click.echo(line)
