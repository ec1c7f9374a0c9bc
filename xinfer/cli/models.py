"""The command ``models``: the catalog of what can be launched by name, and what it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from xinfer.cli.catalog_source import known_families
from xinfer.cli.gpu_memory import GpuMemory, gpu_memory
from xinfer.cli.options import as_json, print_json, with_client
from xinfer.cli.sizing import MOST_TOKENS, Load, sizes
from xinfer.cli.table import print_table
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
@click.option("--ability", help="Only models that can do this: chat, generate, tools, vision, reasoning, hybrid.")
@click.option(
    "--context-length", type=click.IntRange(1), metavar="N", help="Count memory for prompts and answers of N tokens."
)
@click.option(
    "--sequences", type=click.IntRange(1), default=1, show_default=True, help="Count memory for so many at once."
)
@click.option(
    "--gpu-memory", type=click.FloatRange(0, min_open=True), metavar="GIB", help="Count GPUs of so much memory."
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
    """List the models that can be launched by name, search them, or show one of them with the memory that it needs.

    MODEL_NAME shows that family's models; WORDs that are no name list the families that have them in their name or description. A
    folder, or a hub id with a slash, shows what its own files tell.
    """
    catalog = known_families(client)
    if len(words) == 1 and "/" in words[0]:
        _show_traits(words[0], as_json)
    elif len(words) == 1 and not search and (family := catalog.find(words[0])):
        _show_family(client, catalog, family, (context_length, sequences, gpu_memory), as_json)
    else:
        found = catalog.search(*words, *(search or "").split())
        _list(catalog, [one for one in found if ability in (None, *one.abilities)], words, as_json)


def _list(catalog: Catalog, families: list[Family], words: tuple[str, ...], as_json: bool) -> None:
    if words and not families:
        # The refusal names what is near.
        catalog.family(" ".join(words))
    if as_json:
        print_json([family.model_dump(mode="json") for family in families])
        return
    if not families:
        click.echo("No model of the catalog is like that; `xinfer models` lists all.")
        return
    rows = [[family.name, _sizes(family), family.context_length, family.abilities] for family in families]
    print_table(["NAME", "SIZES (B)", "CONTEXT", "ABILITIES"], rows)


def _sizes(family: Family) -> list[str]:
    return list(dict.fromkeys(spec.size_in_billions for spec in family.specs))


def _show_family(
    client: RESTfulClient,
    catalog: Catalog,
    family: Family,
    asked: tuple[int | None, int, float | None],
    as_json: bool,
) -> None:
    context_length, sequences, gib = asked
    memory = gpu_memory(client, gib)
    tokens = context_length or min(family.context_length, MOST_TOKENS)
    load = Load(tokens, sequences, memory.gib, EngineSettings.from_environment().gpu_memory_share)
    needs = [sizes(selection, load) for selection in catalog.matching(family.name)]
    if as_json:
        gpu = {"gpu_memory_gib": round(memory.gib, 1), "gpu_memory_source": memory.source}
        print_json([{**family.model_dump(mode="json"), "memory": needs, **gpu}])
        return
    click.echo(f"{family.name}: {family.description}")
    click.echo(f"Abilities: {', '.join(family.abilities)}. Context: {family.context_length} tokens.")
    click.echo(f"Languages: {', '.join(family.languages)}.\n")
    rows = [{**need, "memory": _amount(need)} for need in needs]
    print_table(list(_COLUMNS), [[row[key] for key in _COLUMNS.values()] for row in rows])
    click.echo(f"\n{_explained(load, memory, needs)}\nLaunch it with `xinfer launch {family.name}`{_choice(family)}.")


def _amount(need: dict[str, Any]) -> str:
    return f"{'>' if need['not_counted'] else ''}{need['memory_gib']:.1f}"


def _explained(load: Load, memory: GpuMemory, needs: list[dict[str, Any]]) -> str:
    if load.sequences == 1:
        sequences = "1 sequence"
    else:
        sequences = f"{load.sequences} sequences"
    lines = [
        f"Memory: weights and the KV cache of {sequences} of {max(need['tokens'] for need in needs)} tokens, at least; "
        "--context-length and --sequences count others.",
        f"GPUs: of {memory.gib:.0f} GiB each ({memory.source}), {load.share:.0%} of it for the model; "
        "- if the model does not fit any number of them.",
    ]
    missing: dict[str, None] = {}
    for need in needs:
        missing |= dict.fromkeys(need["not_counted"])
    if missing:
        lines.append(f">: not counted is {', '.join(missing)}.")
    return "\n".join(lines)


def _choice(family: Family) -> str:
    if len(family.specs) < 2:
        return ""
    return f", which takes the largest that fits, or add `--size-in-billions {_sizes(family)[0]}`"


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
