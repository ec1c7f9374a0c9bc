"""The commands ``login`` and ``logout``."""

from __future__ import annotations

import click

from xinfer.cli import credentials
from xinfer.cli.options import as_json, print_json, with_endpoint


@click.command()
@with_endpoint
@click.option(
    "-ak", "--api-key", envvar="XINFER_API_KEY", show_envvar=True, help="The key; asked for if it is not given."
)
@click.option("--username", help="For scripts that were written for Xinference; not looked at.")
@click.option("--password", help="The same as --api-key.")
@as_json
def login(endpoint: str, api_key: str | None, username: str | None, password: str | None, as_json: bool) -> None:
    """Keep a server's address and an API key for this command line.

    They are in the file credentials.json of XINFER_HOME, which only its owner can read. A key on the command line is
    seen in lists of processes: leave it out to be asked for it.
    """
    del username
    # Takes a while to import, which --help need not wait for.
    from xinfer.client import RESTfulClient

    key = api_key or password
    if key is None:
        key = click.prompt("API key", hide_input=True)
    with RESTfulClient(endpoint, key) as client:
        own = client.get_own_key()
    credentials.keep(endpoint, key)
    if as_json:
        print_json(own)
    else:
        click.echo(f"Logged in at {endpoint} with the key {own['name']} ({own['id']}), for {own['scope']}.")


@click.command()
@with_endpoint
@as_json
def logout(endpoint: str, as_json: bool) -> None:
    """Forget a server's API key. The key itself stays valid."""
    forgotten = credentials.forget(endpoint)
    if as_json:
        print_json({"forgotten": forgotten})
    elif forgotten:
        click.echo(f"The key for {endpoint} is forgotten.")
    else:
        click.echo(f"There was no key for {endpoint}.")
