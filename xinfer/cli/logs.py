"""The command ``logs``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from xinfer import settings
from xinfer.cli.options import as_json, print_json, with_client
from xinfer.request_log import lines_about

if TYPE_CHECKING:
    from xinfer.client import RESTfulClient

_FOLLOW_PERIOD_S = 1.0
_FOLLOW_LINES = 2000


@click.command()
@with_client
@click.argument("uid", required=False, metavar="MODEL_UID")
@click.option("-u", "--model-uid", help="The same as the argument.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="Lines of each replica.",
)
@click.option("-f", "--follow", is_flag=True, help="Go on printing what is written, until Ctrl-C.")
@click.option(
    "--request",
    "request_id",
    metavar="ID",
    help="Instead of a model's log, every line that names this request, on this machine or on --node.",
)
@click.option(
    "--node",
    metavar="NODE",
    help="Only what is on this node (address, hostname or ID); alone, the node's own logs.",
)
@as_json
def logs(
    client: RESTfulClient,
    uid: str | None,
    model_uid: str | None,
    lines: int,
    follow: bool,
    request_id: str | None,
    node: str | None,
    as_json: bool,
) -> None:
    """Show the end of an engine's log, also of a failed launch, or of a node's logs."""
    named = 3 - [uid, model_uid, request_id].count(None)
    if named > 1 or (named == 0 and node is None):
        raise click.UsageError(
            "Name one model, MODEL_UID, one request, --request ID, or a node, --node NODE. `xinfer list` shows the models."
        )
    name = uid or model_uid
    if follow and (as_json or node or name is None):
        raise click.UsageError("--follow goes with a model alone, and not with --json.")
    if request_id and node is None:
        _print_request(request_id, as_json)
        return
    if name is None:
        _print_node(client.get_node_log(str(node), lines, request_id), request_id, as_json)
        return

    found = client.get_model_log(name, lines)
    if node is not None:
        there = {replica["replica"] for replica in client.get_node(node)["replicas"]}
        found["replicas"] = [replica for replica in found["replicas"] if replica["replica_uid"] in there]
        if not found["replicas"]:
            raise click.ClickException(f"{name} has no replica on {node}. `xinfer nodes` shows where replicas are.")
    if as_json:
        print_json(found)
        return
    replicas = found["replicas"]
    if not follow and not any(replica["lines"] for replica in replicas):
        # Not an error: the log of a launch that has just begun is empty.
        why = "its engine has not started, or its launch failed before"
        click.echo(f"{name} has no engine log: {why}.", err=True)
    for replica in replicas:
        if len(replicas) > 1:
            click.echo(f"==> {replica['replica_uid']} <==")
        for line in replica["lines"]:
            click.echo(line)
    if follow:
        _follow(client, name, replicas)


def _print_request(request_id: str, as_json: bool) -> None:
    found = list(lines_about(request_id, settings.home()))
    if as_json:
        print_json(found)
        return
    if not found:
        raise click.ClickException(
            f"No log on this node names {request_id!r}. Requests are logged on the nodes of the supervisors, at the end."
        )
    for line in found:
        click.echo(line)


def _print_node(found: dict[str, Any], request_id: str | None, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    if request_id and not found["logs"]:
        raise click.ClickException(f"No log on {found['address']} names {request_id!r}.")
    for log in found["logs"]:
        if not request_id:
            click.echo(f"==> {log['name']} <==")
        for line in log["lines"]:
            click.echo(line)


def _follow(client: RESTfulClient, uid: str, replicas: list[dict[str, Any]]) -> None:
    """Print what comes, each replica's lines under its name when another one's came before."""
    seen: dict[str, list[str]] = {replica["replica_uid"]: replica["lines"] for replica in replicas}
    shown = next(iter(seen), "") if len(seen) == 1 else ""
    try:
        while True:
            time.sleep(_FOLLOW_PERIOD_S)
            for replica in client.get_model_log(uid, _FOLLOW_LINES)["replicas"]:
                name, now = replica["replica_uid"], replica["lines"]
                fresh = lines_after(seen.get(name, []), now)
                seen[name] = now
                if fresh and name != shown:
                    click.echo(f"==> {name} <==")
                    shown = name
                for line in fresh:
                    click.echo(line)
    except KeyboardInterrupt:
        return


def lines_after(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """The lines of ``now`` that come after those of ``before``; each is the end of the same log at its time.

    If too much was written meanwhile for the two to overlap, that is all of ``now``.
    """
    if list(now[: len(before)]) == list(before):
        # The log is shorter than what was asked for.
        return list(now[len(before) :])
    last = before[-1]
    # The latest place at which everything up to it agrees with the end of what is known.
    for end in range(len(now), 0, -1):
        if now[end - 1] != last:
            continue
        length = min(end, len(before))
        if list(now[end - length : end]) == list(before[-length:]):
            return list(now[end:])
    return list(now)
