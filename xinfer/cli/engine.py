"""The command ``engine``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from xinfer.cli.options import as_json, print_json, with_client
from xinfer.cli.table import print_table

if TYPE_CHECKING:
    from xinfer.client import RESTfulClient


@click.command()
@click.argument("argument", required=False, metavar="MODEL_NAME")
@click.option("-n", "--model-name", help="The same as the argument.")
@click.option("-en", "--model-engine", help="Only on this engine.")
@click.option("-f", "--model-format", help="Only in this format.")
@click.option("-s", "--model-size-in-billions", "size", help="Only of this size, such as 8, 0.6 or 0_6.")
@click.option("-q", "--quantization", help="Only in this quantization.")
@as_json
@with_client
def engine(
    client: RESTfulClient, /, argument: str | None, model_name: str | None, as_json: bool, **wanted: str | None
) -> None:
    """Show which sizes, formats and quantizations of a family can be launched, and on which engine."""
    name = argument or model_name
    if name is None or (argument and model_name):
        raise click.UsageError("Name one family: MODEL_NAME. `xinfer models` lists them.")
    rows = [row for row in _rows(client.query_engine_by_model_name(name)) if _fits(row, **wanted)]
    if as_json:
        print_json(rows)
    elif not rows:
        raise click.ClickException(f"{name} has nothing of that kind; `xinfer engine {name}` shows all.")
    else:
        headers = ["NAME", "ENGINE", "FORMAT", "SIZE (B)", "QUANTIZATION"]
        print_table(headers, [list(row.values()) for row in rows])


def _rows(engines: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "model_name": spec["model_name"],
            "model_engine": name,
            "model_format": spec["model_format"],
            "model_size_in_billions": spec["model_size_in_billions"],
            "quantization": quantization,
        }
        for name, specs in engines.items()
        if isinstance(specs, list)  # Xinference has a sentence there for an engine that cannot run it
        for spec in specs
        for quantization in spec["quantizations"]
    ]


def _fits(row: dict[str, Any], *, size: str | None, **wanted: str | None) -> bool:
    sizes = (str(each).replace("_", ".") for each in (size, row["model_size_in_billions"]))
    same = [str(row[field]).casefold() == value.casefold() for field, value in wanted.items() if value is not None]
    return all(same) and (size is None or len(set(sizes)) == 1)
