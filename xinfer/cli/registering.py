"""The commands ``register`` and ``unregister``: custom model families."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xinfer.cli.options import as_json, print_json, with_client

if TYPE_CHECKING:
    from xinfer.client import RESTfulClient

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_model_type = click.option("-t", "--model-type", default="LLM", show_default=True)


@click.command()
@click.argument("argument", required=False, metavar="FILE", type=_FILE)
@click.option("-f", "--file", type=_FILE, help="The same as the argument.")
@_model_type
@click.option(
    "-p",
    "--persist/--no-persist",
    default=True,
    show_default=True,
    help="Keep it when the cluster ends.",
)
@as_json
@with_client
def register(
    client: RESTfulClient,
    /,
    argument: Path | None,
    file: Path | None,
    model_type: str,
    persist: bool,
    as_json: bool,
) -> None:
    """Register a custom model family, so that it can be launched by name.

    FILE is YAML or JSON, in xinfer's format or in Xinference's.
    """
    path = argument or file
    if path is None or (argument and file):
        raise click.UsageError("Name one file: FILE.")
    model = _read(path)
    client.register_model(model_type, model, persist)
    name = model.get("model_name") or model.get("name")
    if as_json:
        print_json({"model_name": name})
    else:
        click.echo(f"{name} is registered; launch it with `xinfer launch {name}`.")


@click.command()
@click.argument("argument", required=False, metavar="MODEL_NAME")
@click.option("-n", "--model-name", help="The same as the argument.")
@_model_type
@as_json
@with_client
def unregister(
    client: RESTfulClient, /, argument: str | None, model_name: str | None, model_type: str, as_json: bool
) -> None:
    """Remove a registered family; its running models keep running."""
    name = argument or model_name
    if name is None or (argument and model_name):
        raise click.UsageError("Name one family: MODEL_NAME. `xinfer registrations` lists them.")
    client.unregister_model(model_type, name)
    if as_json:
        print_json({"model_name": name})
    else:
        click.echo(f"{name} is not registered any more.")


def _read(path: Path) -> dict[str, Any]:
    # YAML is a superset of JSON. Importing it takes a while, which --help need not wait for.
    from yaml import YAMLError

    from xinfer.catalog.catalog import parse_yaml

    try:
        model = parse_yaml(path.read_text(encoding="utf-8"))
        # YAML has values that JSON has not, such as dates.
        json.dumps(model)
    except (OSError, UnicodeDecodeError, YAMLError, TypeError, ValueError) as error:
        # PyYAML's errors have several lines.
        reason = " ".join(str(error).split())
        raise click.ClickException(f"{path} is neither YAML nor JSON: {reason}") from None
    if not isinstance(model, dict):
        raise click.ClickException(f"{path} does not hold the fields of a family; see docs/registering.md.")
    return model
