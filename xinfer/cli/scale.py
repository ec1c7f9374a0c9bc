"""The command ``scale``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from xinfer.cli.autoscaling_options import autoscaling_options, take_config
from xinfer.cli.options import as_json, print_json, with_client
from xinfer.cli.scaling_text import scaling_lines

if TYPE_CHECKING:
    from xinfer.client import RESTfulClient


@click.command()
@click.argument("model_uid")
@click.argument("replicas", type=click.IntRange(1), required=False)
@autoscaling_options("--min", "--max")
@click.option("--fixed", is_flag=True, help="End autoscaling; the model keeps the replicas it has.")
@click.option(
    "--wait/--no-wait",
    default=True,
    show_default=True,
    help="Return when additional replicas are ready, or at once.",
)
@as_json
@with_client
def scale(
    client: RESTfulClient,
    /,
    model_uid: str,
    replicas: int | None,
    fixed: bool,
    wait: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Set the number of a model's replicas, or how it follows the load; without either, show how it is scaled.

    A number ends autoscaling. Replicas that go finish the requests they have.
    """
    config = take_config(options)
    if sum((replicas is not None, bool(config), fixed)) > 1:
        raise click.UsageError("Give a number, or options of autoscaling, or --fixed.")
    if replicas is not None:
        scaling = client.scale_model(model_uid, replicas, wait_ready=wait)
    elif config or fixed:
        scaling = client.scale_model(model_uid, autoscaling_config=config or False)
    else:
        scaling = client.get_model_scaling(model_uid)
    if as_json:
        print_json(scaling)
        return
    for line in scaling_lines(scaling):
        click.echo(line)
