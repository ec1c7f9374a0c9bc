"""The command ``doctor``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from xinfer import settings
from xinfer.cli.options import as_json, print_json

if TYPE_CHECKING:
    from xinfer.doctor.findings import Finding

_COLORS = {"ok": "green", "warning": "yellow", "failed": "red"}


@click.command()
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=settings.DEFAULT_PORT,
    show_default=True,
    help="Port of the server.",
)
@click.option("--offline", is_flag=True, help="Do not ask the model hub.")
@as_json
def doctor(port: int, offline: bool, as_json: bool) -> None:
    """Check this machine for what xinfer needs; the output is made for bug reports.

    Exits 1 if something is missing without which no cluster starts. Over the network only the model hub is asked; on the head of
    a cluster, its nodes' versions are compared as well.
    """
    # They take a moment to import.
    from xinfer.cluster.lifecycle import NodeLifecycle
    from xinfer.doctor.findings import findings, has_failed
    from xinfer.doctor.machine import gather

    record = NodeLifecycle(settings.home()).running()
    running_here = (record.endpoint or record.ray_address) if record else None
    found = findings(gather(port, running_here, ask_hub=not offline))
    if record and record.endpoint:
        found.append(_versions_of_nodes(record.endpoint))
    if as_json:
        print_json([asdict(finding) for finding in found])
    else:
        width = max(len(finding.subject) for finding in found)
        for finding in found:
            verdict = click.style(f"{finding.verdict:<7}", fg=_COLORS[finding.verdict])
            click.echo(f"{verdict}  {finding.subject:<{width}}  {finding.found}")
            if finding.advice:
                click.echo(f"{'':<{width + 11}}{finding.advice}")
    if has_failed(found):
        raise SystemExit(1)


def _versions_of_nodes(endpoint: str) -> Finding:
    from xinfer.cli import credentials
    from xinfer.cli.own_session import own_session
    from xinfer.client import RESTfulClient
    from xinfer.doctor.nodes import not_compared, versions_of_nodes
    from xinfer.errors import XinferError

    try:
        with RESTfulClient(endpoint, credentials.key_for(endpoint), session=own_session(endpoint)) as client:
            return versions_of_nodes(client.list_nodes())
    except XinferError as error:
        return not_compared(error.message)
