"""The commands ``usage`` and ``audit``."""

from __future__ import annotations

import csv
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from xinfer.cli.durations import Duration
from xinfer.cli.options import as_json, print_json, with_client
from xinfer.cli.table import print_items

if TYPE_CHECKING:
    from xinfer.client import RESTfulClient

_COUNTS = {
    "REQUESTS": "requests",
    "PROMPT": "prompt_tokens",
    "CACHED": "cached_tokens",
    "COMPLETION": "completion_tokens",
    "REASONING": "reasoning_tokens",
    "REFUSED": "refused",
}
_GROUPS = {"key": {"KEY": "key_name"}, "model": {"MODEL": "model"}, "hour": {"HOUR (UTC)": "hour"}}
_ENTRY = {
    "TIME (UTC)": "time",
    "KEY": "name",
    "FROM": "address",
    "ACTION": "action",
    "TARGET": "target",
    "STATUS": "status",
}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


@click.command()
@click.option(
    "--by",
    multiple=True,
    type=click.Choice(list(_GROUPS)),
    default=("key", "model"),
    help="What to show apart; may be given several times. Key and model by default.",
)
@click.option(
    "--since", type=Duration(), default=7 * 86400.0, show_default="7d", metavar="TIME", help="How far to look back."
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@as_json
@with_client
def usage(client: RESTfulClient, by: tuple[Any, ...], since: float, as_csv: bool, as_json: bool) -> None:
    """Show the requests and tokens of keys and models.

    Without an admin's key, only those of one's own key. Hours are whole hours of UTC.
    """
    items = client.get_usage(time.time() - since, by=list(dict.fromkeys(by)))
    if as_json:
        print_json(items)
    elif as_csv:
        _print_csv(items)
    else:
        columns: dict[str, str] = {}
        for group in dict.fromkeys(by):
            columns |= _GROUPS[group]
        for item in items:
            if "hour" in item:
                item["hour"] = _time(item["hour"])
        print_items({**columns, **_COUNTS}, items)


@click.command()
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="How many of the latest entries."
)
@as_json
@with_client
def audit(client: RESTfulClient, limit: int, as_json: bool) -> None:
    """Show who has changed what: launches, terminations, registrations, keys. Needs an admin's key."""
    entries = client.get_audit_log(limit)
    if as_json:
        print_json(entries)
        return
    print_items(_ENTRY, [{**entry, "time": _time(entry["at"])} for entry in entries])


def _print_csv(items: list[dict[str, Any]]) -> None:
    if not items:
        return
    writer = csv.DictWriter(sys.stdout, list(items[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(items)
