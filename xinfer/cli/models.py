"""The command ``models``: the catalog, and the memory that its models need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from xinfer.cli.catalog_source import known_families
from xinfer.cli.gpu_memory import GpuMemory, gpu_memory
from xinfer.cli.options import as_json, print_json, with_client
from xinfer.cli.sizing import MOST_TOKENS, Load, memory_need
from xinfer.cli.table import print_items, print_table
from xinfer.settings import EngineSettings

if TYPE_CHECKING:
    from xinfer.catalog import Catalog, Family, Traits
    from xinfer.client import RESTfulClient

_COLUMNS = {
    "SIZE (B)": "model_size_in_billions",
    "FORMAT": "model_format",
    "QUANTIZATION": "quantization",
    "MEMORY (GIB)": "memory",
    "GPUS": "n_gpu",
    "SOURCE": "source",
}


@click.command()
@click.argument("words", nargs=-1, metavar="[MODEL_NAME | WORD...]")
@click.option("--search", metavar="WORDS", help="Only models with these words in their name or description.")
@click.option(
    "--ability",
    help="Only models that can do this: chat, generate, tools, vision, reasoning, hybrid.",
)
@click.option(
    "--context-length",
    type=click.IntRange(1),
    metavar="N",
    help="Tokens of prompt and output to estimate for.",
)
@click.option(
    "--sequences",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Sequences at once to estimate for.",
)
@click.option(
    "--gpu-memory",
    type=click.FloatRange(0, min_open=True),
    metavar="GIB",
    help="Memory of a GPU, instead of the cluster's.",
)
@as_json
@with_client
def models(
    client: RESTfulClient,
    words: tuple[str, ...],
    search: str | None,
    ability: str | None,
    context_length: int | None,
    sequences: int,
    gpu_memory: float | None,
    as_json: bool,
) -> None:
    """List the models that can be launched by name, search them, or show one with the memory that it needs.

    MODEL_NAME shows the models of that family. Other WORDs search names and descriptions. For a folder, or a hub
    id with a slash, the abilities are read from the model's own files.
    """
    catalog = known_families(client)
    if len(words) == 1 and "/" in words[0]:
        _show_traits(words[0], as_json)
        return
    family = None
    # --search looks for a word that is a family's name as well.
    if len(words) == 1 and not search:
        family = catalog.find(words[0])
    if family:
        _show_family(client, catalog, family, (context_length, sequences, gpu_memory), as_json)
        return
    found = catalog.search(*words, *(search or "").split())
    if ability:
        found = [family for family in found if ability in family.abilities]
    _list(catalog, found, words, as_json)


def _list(catalog: Catalog, families: list[Family], words: tuple[str, ...], as_json: bool) -> None:
    if words and not families:
        # Raises, and the error suggests similar names.
        catalog.family(" ".join(words))
    if as_json:
        print_json([family.model_dump(mode="json") for family in families])
        return
    if not families:
        click.echo("No model matches; `xinfer models` lists all.")
        return
    rows = [[family.name, family.sizes, family.context_length, family.abilities] for family in families]
    print_table(["NAME", "SIZES (B)", "CONTEXT", "ABILITIES"], rows)


def _show_family(
    client: RESTfulClient,
    catalog: Catalog,
    family: Family,
    load_options: tuple[int | None, int, float | None],
    as_json: bool,
) -> None:
    context_length, sequences, gib = load_options
    memory = gpu_memory(client, gib)
    tokens = context_length or min(family.context_length, MOST_TOKENS)
    load = Load(tokens, sequences, memory.gib, EngineSettings.from_environment().gpu_memory_share)
    needs = [memory_need(selection, load) for selection in catalog.matching(family.name)]
    if as_json:
        gpu = {"gpu_memory_gib": round(memory.gib, 1), "gpu_memory_source": memory.source}
        print_json([{**family.model_dump(mode="json"), "memory": needs, **gpu}])
        return
    click.echo(f"{family.name}: {family.description}")
    click.echo(f"Abilities: {', '.join(family.abilities)}. Context: {family.context_length} tokens.")
    click.echo(f"Languages: {', '.join(family.languages)}.\n")
    for need in needs:
        need["memory"] = _amount(need)
    print_items(_COLUMNS, needs)
    click.echo(f"\n{_explained(load, memory, needs)}")
    click.echo(f"Launch it with `xinfer launch {family.name}`{_choice(family)}.")


def _amount(need: dict[str, Any]) -> str:
    amount = f"{need['memory_gib']:.1f}"
    if need["not_counted"]:
        return f">{amount}"
    return amount


def _explained(load: Load, memory: GpuMemory, needs: list[dict[str, Any]]) -> str:
    """What the columns MEMORY and GPUS mean."""
    sequences = "1 sequence"
    if load.sequences > 1:
        sequences = f"{load.sequences} sequences"
    # A model with a shorter context is estimated with its own.
    tokens = max(need["tokens"] for need in needs)
    gpu = f"{memory.gib:.0f} GiB each ({memory.source})"
    lines = [
        f"Memory: at least, for the weights and the KV cache of {sequences} of {tokens} tokens; "
        "change them with --context-length and --sequences.",
        f"GPUs: with {gpu}, of which the model may use {load.share:.0%}; "
        "- means that it does not fit on any number of GPUs.",
    ]
    missing: dict[str, None] = {}
    for need in needs:
        missing |= dict.fromkeys(need["not_counted"])
    if missing:
        lines.append(f">: without {', '.join(missing)}.")
    return "\n".join(lines)


def _choice(family: Family) -> str:
    if len(family.specs) < 2:
        return ""
    return f", which chooses the largest that fits, or add `--size-in-billions {family.sizes[0]}`"


def _show_traits(path: str, as_json: bool) -> None:
    from xinfer.catalog import inspect_path

    traits: Traits = inspect_path(path)
    facts = {
        "architecture": traits.architecture,
        "abilities": list(traits.abilities),
        "context_length": traits.context_length,
        "thinking": traits.thinking.mode.value,
        "thinking_keywords": list(traits.thinking.keywords),
        "reasoning_parser": traits.reasoning_parser,
        "tool_parser": traits.tool_parser,
    }
    if as_json:
        print_json({"model_path": path, **facts})
    else:
        print_table(["MODEL", path], list(facts.items()))
