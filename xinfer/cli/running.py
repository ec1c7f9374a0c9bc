"""The commands ``list``, ``describe``, ``terminate``, ``sleep`` and ``wake``: running models."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import click

from xinfer.cli.options import as_json, print_json, with_client, with_uid
from xinfer.cli.scaling_text import scaling_lines
from xinfer.cli.table import print_items, print_table
from xinfer.errors import NotFound

if TYPE_CHECKING:
    from xinfer.client import RESTfulClient

_COLUMNS = {
    "UID": "id",
    "NAME": "model_name",
    "STATUS": "status",
    "SIZE (B)": "model_size_in_billions",
    "FORMAT": "model_format",
    "QUANTIZATION": "quantization",
    "CONTEXT": "context_length",
    "REPLICAS": "replica",
    "ABILITIES": "model_ability",
}
_WORKER_COLUMNS = {
    "REPLICA": "replica",
    "WORKER": "rank",
    "NODE": "worker_address",
    "STAGE": "model_state",
    "GPUS": "accelerators",
}


@click.command("list")
@with_client
@as_json
def list_models(client: RESTfulClient, as_json: bool) -> None:
    """List the running models, and sleeping ones that wake on the next request."""
    running = list(client.list_models().values())
    if as_json:
        print_json(running)
    elif not running:
        click.echo("No model is running; start one with `xinfer launch MODEL_NAME`.")
    else:
        print_items(_COLUMNS, running)


@click.command()
@with_client
@with_uid
@as_json
def describe(client: RESTfulClient, model_uid: str, as_json: bool) -> None:
    """Show everything about one running model."""
    description: dict[str, Any] = client.describe_model(model_uid)
    scaling = None
    # A server of another kind than xinfer's has no such route.
    with contextlib.suppress(NotFound):
        scaling = client.get_model_scaling(model_uid)
    workers: list[dict[str, Any]] = []
    if description.get("n_worker", 1) > 1:
        workers = _workers(client, model_uid)
    if as_json:
        print_json({**description, "scaling": scaling, **({"workers": workers} if workers else {})})
        return
    print_table(["MODEL", model_uid], list(description.items()))
    if workers:
        click.echo()
        print_items(_WORKER_COLUMNS, workers)
    if scaling:
        click.echo("\n" + "\n".join(scaling_lines(scaling)))


def _workers(client: RESTfulClient, uid: str) -> list[dict[str, Any]]:
    """Those of every replica, each with the replica's number."""
    found: list[dict[str, Any]] = []
    for instance in client.get_instance_info(None, uid):
        for replica in instance["replica_statuses"]:
            found += [{"replica": replica["replica_id"], **worker} for worker in replica["workers"]]
    return found


@click.command()
@with_client
@with_uid
@as_json
def terminate(client: RESTfulClient, model_uid: str, as_json: bool) -> None:
    """Terminate a model and free its resources."""
    client.terminate_model(model_uid)
    if as_json:
        print_json({"model_uid": model_uid})
    else:
        click.echo(f"Model {model_uid} is terminated.")


@click.command()
@with_client
@with_uid
@as_json
def sleep(client: RESTfulClient, model_uid: str, as_json: bool) -> None:
    """Put a model to sleep until a request needs it.

    Its replicas end, and their GPUs are free. `xinfer wake` brings it up before a request does.
    """
    client.sleep_model(model_uid)
    if as_json:
        print_json({"model_uid": model_uid})
    else:
        click.echo(f"Model {model_uid} sleeps; the next request wakes it.")


@click.command()
@with_client
@with_uid
@as_json
def wake(client: RESTfulClient, model_uid: str, as_json: bool) -> None:
    """Wake a sleeping model, without waiting until it is up."""
    client.wake_model(model_uid)
    if as_json:
        print_json({"model_uid": model_uid})
    else:
        click.echo(f"Model {model_uid} wakes up.")
