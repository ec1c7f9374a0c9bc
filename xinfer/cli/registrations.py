"""The command ``registrations``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from xinfer.cli.options import as_json, print_json, with_client
from xinfer.cli.table import print_table

if TYPE_CHECKING:
    from xinfer.client import RESTfulClient


@click.command()
@click.option("-t", "--model-type", default="LLM", show_default=True)
@click.option("--mine", is_flag=True, help="Only registered families, not built-in ones.")
@as_json
@with_client
def registrations(client: RESTfulClient, /, model_type: str, mine: bool, as_json: bool) -> None:
    """List the registered and built-in families, registered ones first."""
    found = client.list_model_registrations(model_type, detailed=True)
    shown = sorted((each for each in found if not (mine and each["is_builtin"])), key=lambda each: each["is_builtin"])
    if as_json:
        print_json(shown)
    elif not shown:
        click.echo("No family is registered; `xinfer register FILE` registers one.")
    else:
        rows = [
            [model_type, each["model_name"], each["model_lang"], each["model_ability"], each["is_builtin"]]
            for each in shown
        ]
        print_table(["TYPE", "NAME", "LANGUAGE", "ABILITY", "IS-BUILT-IN"], rows)
