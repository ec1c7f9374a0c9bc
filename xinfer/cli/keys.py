"""The commands ``keys create``, ``list``, ``show``, ``update``, ``rotate`` and ``revoke``."""

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


_GONE = object()
"""Stands for a limit that is to be none; an option that is not given is None."""


class Budget(click.ParamType[tuple[int, str]]):
    """Tokens per day or month, as their number and the period."""

    name = "budget"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, str]:
        found = _BUDGET.match(str(value))
        if not found:
            self.fail(f"{value!r}: expected tokens per day or month, such as 500000/day or 20M/month.", param, ctx)
        return int(found[1]) * _FACTORS[found[2]], found[3]


class OrGone(click.ParamType[Any]):
    """What another type takes, or the word that ends it."""

    def __init__(self, kind: click.ParamType[Any], word: str = "none") -> None:
        self.name = kind.name
        self._kind = kind
        self._word = word

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == self._word:
            return _GONE
        return self._kind.convert(value, param, ctx)


def _globs(text: str) -> list[str]:
    return [glob.strip() for glob in text.split(",") if glob.strip()]


@click.group()
def keys() -> None:
    """Create, list, change, rotate and revoke API keys. It takes an admin's key, or the machine of the cluster's head."""


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
    "--budget-tokens", type=Budget(), metavar="N/day|month", help="Tokens per day or month, such as 20M/month."
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
    budget_tokens: tuple[int, Any] | None,
    expires: float | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Create a key. It is shown this once, on stdout; everything else is on stderr."""
    if budget_tokens is not None:
        options["budget_tokens"], options["budget_period"] = budget_tokens
    key = client.create_key(name, scope, _globs(models or ""), expires_in=expires, **options)
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
    _show(client.get_key(key), as_json)


@keys.command()
@click.argument("key", metavar="ID|NAME")
@click.option("--rpm", type=OrGone(click.IntRange(1)), metavar="N|none", help="Requests per minute.")
@click.option(
    "--tpm", type=OrGone(click.IntRange(1)), metavar="N|none", help="Tokens per minute, prompts and answers together."
)
@click.option("--concurrency", type=OrGone(click.IntRange(1)), metavar="N|none", help="Requests at the same time.")
@click.option(
    "--budget-tokens",
    type=OrGone(Budget()),
    metavar="N/day|month|none",
    help="Tokens per day or month, such as 20M/month. What was used in it so far counts.",
)
@click.option("--models", metavar="GLOBS", help="Model UIDs that it may use, such as 'qwen3*,tiny-chat'; '*' is all.")
@click.option("--priority", type=click.Choice(["high", "normal", "low"]))
@click.option(
    "--isolate-cache/--no-isolate-cache",
    default=None,
    help="Keep the prefix cache of its prompts apart from everybody else's, or not.",
)
@click.option(
    "--expires", type=OrGone(Duration(), "never"), metavar="TIME|never", help="When it stops, from now, such as 90d."
)
@click.option("--name", metavar="NEW", help="What it is called from now on.")
@as_json
@with_client
def update(
    client: RESTfulClient,
    /,
    key: str,
    models: str | None,
    budget_tokens: Any,
    expires: Any,
    as_json: bool,
    **options: Any,
) -> None:
    """Change the limits of a key, and what else is given here. The rest stays, as do its text, its scope and its usage.

    `none` ends a limit. Changes count within a second, for requests that begin then.
    """
    given = {**options, "expires_in": expires}
    if models is not None:
        given["models"] = _globs(models)
    if isinstance(budget_tokens, tuple):
        given["budget_tokens"], given["budget_period"] = budget_tokens
    else:
        given["budget_tokens"] = budget_tokens
    changes: dict[str, Any] = {
        name: None if value is _GONE else value for name, value in given.items() if value is not None
    }
    if not changes:
        raise click.UsageError("Say what to change, such as --rpm 20, or --rpm none for no limit.")
    _show(client.update_key(key, **changes), as_json)


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


def _show(key: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(key)
        return
    row = _row(key)
    print_table(
        ["KEY", key["name"]], [(name.lower(), row[field]) for name, field in _COLUMNS.items() if name != "NAME"]
    )


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
