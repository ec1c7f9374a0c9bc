"""The commands ``cached`` and ``remove-cache``: model files in the caches of the nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from xinfer.cli.options import as_json, print_json, with_client
from xinfer.cli.table import print_items

if TYPE_CHECKING:
    from xinfer.client import RESTfulClient

_COLUMNS = {
    "VERSION": "model_version",
    "NODE": "actor_ip_address",
    "SIZE (GIB)": "size_gib",
    "PATH": "path",
}
_worker_ip = click.option("--worker-ip", help="Only the node with this address.")


@click.command()
@with_client
@click.option("-n", "--model-name", "--model_name", help="Only models of this family.")
@_worker_ip
@as_json
def cached(client: RESTfulClient, model_name: str | None, worker_ip: str | None, as_json: bool) -> None:
    """List the models whose files are on the nodes."""
    found = client.list_cached_models(model_name, worker_ip)
    if as_json:
        print_json(found)
    elif not found:
        click.echo("No model is in any cache.")
    else:
        for model in found:
            model["size_gib"] = f"{model['size_bytes'] / 1024**3:.1f}"
        print_items(_COLUMNS, found)


@click.command("remove-cache")
@with_client
@click.argument("version", required=False, metavar="[VERSION]")
@click.option("-n", "--model-version", "--model_version", help="The same as the argument.")
@_worker_ip
@click.option("-y", "--yes", "--check", is_flag=True, help="Do not ask for confirmation.")
@as_json
def remove_cache(
    client: RESTfulClient,
    version: str | None,
    model_version: str | None,
    worker_ip: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete a model's files from the nodes; `xinfer cached` shows its VERSION."""
    if (version is None) == (model_version is None):
        raise click.UsageError("Name one model: VERSION. `xinfer cached` shows what there is.")
    chosen = str(version or model_version)
    if not yes:
        # On stderr, so that stdout has only the result.
        for path in client.list_deletable_models(chosen, worker_ip)["paths"]:
            click.echo(path, err=True)
        click.confirm(f"Delete {chosen}?", abort=True, err=True)
    removed = client.confirm_and_remove_model(chosen, worker_ip)
    if as_json:
        print_json({"model_version": chosen, "removed": removed})
    elif removed:
        click.echo(f"Removed {chosen}.")
    else:
        click.echo(f"Some of {chosen} could not be removed.")
    # With --json, too: scripts look at the exit code first.
    if not removed:
        raise SystemExit(1)
