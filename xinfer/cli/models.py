"""The command ``models``: the catalog of what can be launched by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from xinfer.cli.options import as_json, print_json
from xinfer.cli.table import print_table

if TYPE_CHECKING:
    from xinfer.catalog import Family


@click.command()
@click.argument("name", required=False, metavar="[MODEL_NAME]")
@click.option("--ability", help="Only models that can do this: chat, generate, tools, vision, reasoning, hybrid.")
@as_json
def models(name: str | None, ability: str | None, as_json: bool) -> None:
    """List the models that can be launched by name, or show one of them."""
    from xinfer.catalog import Catalog  # reading the families takes a while, which --help need not wait for

    catalog = Catalog.load()
    everything = sorted(catalog.families.values(), key=lambda family: family.name.casefold())
    chosen = [catalog.family(name)] if name else everything
    chosen = [family for family in chosen if ability is None or ability in family.abilities]
    if as_json:
        print_json([family.model_dump(mode="json") for family in chosen])
    elif name and chosen:
        _print_family(chosen[0])
    else:
        _print_families(chosen)


def _print_families(families: list[Family]) -> None:
    rows = [[family.name, _sizes(family), family.context_length, family.abilities] for family in families]
    print_table(["NAME", "SIZES (B)", "CONTEXT", "ABILITIES"], rows)


def _sizes(family: Family) -> list[str]:
    return list(dict.fromkeys(spec.size_in_billions for spec in family.specs))


def _print_family(family: Family) -> None:
    click.echo(f"{family.name}: {family.description}")
    click.echo(f"Abilities: {', '.join(family.abilities)}. Context: {family.context_length} tokens.")
    click.echo(f"Languages: {', '.join(family.languages)}.\n")
    rows = [
        [spec.size_in_billions, spec.format, quantization, spec.path(quantization) if not spec.bundled else "bundled"]
        for spec in family.specs
        for quantization in spec.quantizations
    ]
    print_table(["SIZE (B)", "FORMAT", "QUANTIZATION", "SOURCE"], rows)
    size = f" --size-in-billions {_sizes(family)[0]}" if len(_sizes(family)) > 1 else ""
    click.echo(f"\nLaunch it with `xinfer launch {family.name}{size}`.")
