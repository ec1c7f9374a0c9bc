"""Options and output that several commands share."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import click

from xinfer import settings
from xinfer.cli import credentials

if TYPE_CHECKING:
    from xinfer.client import RESTfulClient

P = ParamSpec("P")

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")

drain_timeout = click.option(
    "--drain-timeout",
    type=click.FloatRange(0, 3600),
    default=settings.DRAIN_TIMEOUT_S,
    show_default=True,
    metavar="SECONDS",
    help="How long running requests may continue when the server stops; then they fail.",
)


def _checked(_: click.Context, __: click.Parameter, endpoint: str) -> str:
    if endpoint.startswith(("http://", "https://")):
        return endpoint
    raise click.BadParameter(f"{endpoint!r}: expected http://host:port")


with_endpoint = click.option(
    "-e",
    "--endpoint",
    default=credentials.endpoint,
    show_default=f"XINFER_ENDPOINT, the one of `xinfer login`, or {settings.DEFAULT_ENDPOINT}",
    callback=_checked,
    help="Address of the server.",
)
_api_key = click.option(
    "-ak", "--api-key", envvar="XINFER_API_KEY", show_envvar=True, help="API key, if the server requires one."
)


def with_client(command: Callable[Concatenate[RESTfulClient, P], None]) -> Callable[..., None]:
    """Add ``--endpoint`` and ``--api-key`` to a command; its first argument is a client, closed afterwards."""

    @with_endpoint
    @_api_key
    @functools.wraps(command)
    def connected(endpoint: str, api_key: str | None, *args: P.args, **kwargs: P.kwargs) -> None:
        # Takes a while to import, which --help need not wait for.
        from xinfer.cli.own_session import own_session
        from xinfer.client import RESTfulClient

        key = api_key or credentials.key_for(endpoint)
        with RESTfulClient(endpoint, key, session=own_session(endpoint)) as client:
            command(client, *args, **kwargs)

    return connected


def with_uid(command: Callable[..., None]) -> Callable[..., None]:
    """Add ``model_uid`` to a command, as an argument or as ``--model-uid``; it takes exactly one of them."""

    @click.argument("uid", required=False, metavar="MODEL_UID")
    @click.option("-u", "--model-uid", help="The same as the argument.")
    @functools.wraps(command)
    def named(*args: Any, uid: str | None, model_uid: str | None, **kwargs: Any) -> None:
        if (uid is None) == (model_uid is None):
            raise click.UsageError("Name one model: MODEL_UID. `xinfer list` shows the running ones.")
        command(*args, model_uid=uid or model_uid, **kwargs)

    return named


def print_json(value: Any) -> None:
    # One line, so that scripts can read several values line by line.
    click.echo(json.dumps(value, ensure_ascii=False))
