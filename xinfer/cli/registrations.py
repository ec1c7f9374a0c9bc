"""The command ``registrations``."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING

import click

from xinfer.cli.options import as_json, print_json, with_client
from xinfer.cli.table import print_items

if TYPE_CHECKING:
    from xinfer.client import RESTfulClient

_COLUMNS = {
    "TYPE": "model_type",
    "NAME": "model_name",
    "LANGUAGE": "model_lang",
    "ABILITY": "model_ability",
    "IS-BUILT-IN": "is_builtin",
}


@click.command()
@click.option("-t", "--model-type", default="LLM", show_default=True)
@click.option("--mine", is_flag=True, help="Only registered families, not built-in ones.")
@as_json
@with_client
def registrations(client: RESTfulClient, /, model_type: str, mine: bool, as_json: bool) -> None:
    """List the registered and built-in families, registered ones first."""
    found = client.list_model_registrations(model_type, detailed=True)
    if mine:
        found = [family for family in found if not family["is_builtin"]]
    shown = sorted(found, key=itemgetter("is_builtin"))
    if as_json:
        print_json(shown)
    elif not shown:
        click.echo("No family is registered; `xinfer register FILE` registers one.")
    else:
        for family in shown:
            family["model_type"] = model_type
        print_items(_COLUMNS, shown)
