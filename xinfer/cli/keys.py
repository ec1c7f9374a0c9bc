"""The commands ``keys create``, ``list``, ``show``, ``rotate`` and ``revoke``."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from xinfer.cli.durations import Duration
from xinfer.cli.options import as_json, print_json, with_client
from xinfer.cli.table import print_items, print_table

if TYPE_CHECKING:
    from xinfer.client import RESTfulClient

_COLUMNS = {
    "ID": "id",
    "NAME": "name",
    "SCOPE": "scope",
    "MODELS": "models",
    "LIMITS": "limits",
    "PRIORITY": "priority",
    "EXPIRES": "expires",
    "STATE": "state",
}
_BUDGET = re.compile(r"(\d+)([kM]?)/(day|month)\Z")
_FACTORS = {"": 1, "k": 1000, "M": 1_000_000}


def _budget(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int | None, str]:
    if text is None:
        return None, "day"
    found = _BUDGET.match(text)
    if not found:
        raise click.BadParameter(f"{text!r}: expected tokens per day or month, such as 500000/day or 20M/month")
    return int(found[1]) * _FACTORS[found[2]], found[3]


@click.group()
def keys() -> None:
    """Create, list, rotate and revoke API keys. It takes an admin's key, or the machine of the cluster's head."""


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice(["infer", "launch", "admin", "metrics"]),
    default="infer",
    show_default=True,
    help="infer: use models. launch: launch, scale and terminate them, too. admin: everything. metrics: read metrics only.",
)
@click.option(
    "--models", metavar="GLOBS", help="Model UIDs that it may use, such as 'qwen3*,tiny-chat'; all by default."
)
@click.option("--rpm", type=click.IntRange(1), metavar="N", help="Requests per minute.")
@click.option("--tpm", type=click.IntRange(1), metavar="N", help="Tokens per minute, prompts and answers together.")
@click.option("--concurrency", type=click.IntRange(1), metavar="N", help="Requests at the same time.")
@click.option(
    "--budget-tokens", callback=_budget, metavar="N/day|month", help="Tokens per day or month, such as 20M/month."
)
@click.option("--priority", type=click.Choice(["high", "normal", "low"]), default="normal", show_default=True)
@click.option("--isolate-cache", is_flag=True, help="Keep the prefix cache of its prompts apart from everybody else's.")
@click.option("--expires", type=Duration(), metavar="TIME", help="When it stops, such as 90d; never by default.")
@as_json
@with_client
def create(
    client: RESTfulClient,
    /,
    name: str,
    scope: Any,
    models: str | None,
    budget_tokens: tuple[int | None, Any],
    expires: float | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Create a key. It is shown this once, on stdout; everything else is on stderr."""
    budget, period = budget_tokens
    globs = [glob.strip() for glob in (models or "").split(",") if glob.strip()]
    key = client.create_key(
        name, scope, globs, budget_tokens=budget, budget_period=period, expires_in=expires, **options
    )
    _show_text(key, as_json, f"The key {name} ({key['id']}), for {scope}. It is shown this once:")


@keys.command("list")
@click.option("--all", "everything", is_flag=True, help="Show revoked and expired ones, too.")
@as_json
@with_client
def list_keys(client: RESTfulClient, everything: bool, as_json: bool) -> None:
    """List the keys, oldest first; never their texts."""
    found = client.list_keys()
    if not everything:
        found = [key for key in found if key["state"] == "active"]
    if as_json:
        print_json(found)
        return
    print_items(_COLUMNS, [_row(key) for key in found])


@keys.command()
@click.argument("key", metavar="ID|NAME")
@as_json
@with_client
def show(client: RESTfulClient, key: str, as_json: bool) -> None:
    """Show one key; never its text."""
    found = client.get_key(key)
    if as_json:
        print_json(found)
        return
    row = _row(found)
    print_table(
        ["KEY", found["name"]], [(name.lower(), row[field]) for name, field in _COLUMNS.items() if name != "NAME"]
    )


@keys.command()
@click.argument("key", metavar="ID|NAME")
@click.option(
    "--overlap",
    type=Duration(),
    default=3600.0,
    show_default="1h",
    metavar="TIME",
    help="How long the old text stays valid.",
)
@as_json
@with_client
def rotate(client: RESTfulClient, key: str, overlap: float, as_json: bool) -> None:
    """Give a key another text, which is shown this once. Its name, its limits and its usage stay."""
    rotated = client.rotate_key(key, overlap)
    _show_text(rotated, as_json, f"The key {rotated['name']} ({rotated['id']}) has a new text. It is shown this once:")


@keys.command()
@click.argument("key", metavar="ID|NAME")
@click.option("--now", is_flag=True, help="End the streams, too, that are open with it.")
@as_json
@with_client
def revoke(client: RESTfulClient, key: str, now: bool, as_json: bool) -> None:
    """Revoke a key: no supervisor takes it a moment later."""
    revoked = client.revoke_key(key, now)
    if as_json:
        print_json(revoked)
    else:
        click.echo(f"The key {revoked['name']} ({revoked['id']}) is revoked.")


def _show_text(key: dict[str, Any], as_json: bool, sentence: str) -> None:
    if as_json:
        print_json(key)
        return
    click.echo(sentence, err=True)
    click.echo(key["key"])


def _row(key: dict[str, Any]) -> dict[str, Any]:
    limits = [f"{key[name]} {name}" for name in ("rpm", "tpm") if key[name]]
    if key["concurrency"]:
        limits.append(f"{key['concurrency']} at once")
    if key["budget_tokens"]:
        limits.append(f"{key['budget_tokens']} tokens/{key['budget_period']}")
    expires = None
    if key["expires_at"]:
        expires = datetime.fromtimestamp(key["expires_at"], UTC).strftime("%Y-%m-%d")
    return {**key, "limits": limits, "expires": expires}
