"""Why a model of a family was chosen for a launch, or none, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from xinfer.catalog.catalog import Selection
from xinfer.catalog.footprint import Footprint
from xinfer.catalog.gpu_places import Place
from xinfer.catalog.memory import GIB, MemoryEstimate


def named(selection: Selection) -> str:
    """``qwen3 8B (fp8)``: the family, the size, and the format and quantization if they are not the usual ones."""
    spec = selection.spec
    quantization = selection.quantization
    words = [spec.format] if spec.format != "pytorch" else []
    if quantization not in ("none", spec.format):
        words.append(quantization)
    return f"{selection.family.name} {spec.size_in_billions}B" + (f" ({' '.join(words)})" if words else "")


def because(
    selections: Sequence[Selection],
    chosen: Selection,
    size: Footprint,
    place: Place,
    needed: MemoryEstimate,
    *,
    is_cut: bool,
) -> str:
    """Why this one there; empty if there was nothing to choose. ``is_cut`` says that its context is not its own."""
    sentences = []
    if len(selections) > 1:
        sentences.append(f"{named(chosen)} {_distinction(selections)} {_gpus(place.gpus, place.gpu_gib)}.")
    elif place.gpus > 1:
        sentences.append(f"{named(chosen)} takes {_gpus(place.gpus, place.gpu_gib)}.")
    if sentences or is_cut:
        sentences.append(_need(size, place, needed))
    if sentences and chosen.spec.format == "fp8" and not place.computes_in_fp8:
        sentences.append("These GPUs hold its weights in 8 bits and compute with 16.")
    if is_cut:
        sentences.append(
            f"Its own context of {size.context_length} does not fit; more GPUs (--n-gpu) hold a longer one."
        )
    return " ".join(sentences)


def _need(size: Footprint, place: Place, needed: MemoryEstimate) -> str:
    amount = f"{needed.total_bytes / GIB:.1f} GiB" + ("" if place.gpus <= 1 else " on each")
    if needed.unknown:
        beside = f"and {' and '.join(needed.unknown)}"
    else:
        beside = f"with a context of {needed.tokens} tokens"
    return f"It needs {'' if size.is_measured else 'about '}{amount} {beside}."


def on_cpu(selections: Sequence[Selection], chosen: Selection, size: Footprint) -> str:
    """Why this one, on the CPU."""
    if len(selections) < 2:
        return ""
    if chosen.spec.format != "pytorch":
        plain = ""
    else:
        plain = " with plain weights"
    return (
        f"{named(chosen)} is the smallest{plain}, as it runs on the CPU: {size.weights_bytes / GIB:.1f} GiB. "
        "Ask for another with --size-in-billions."
    )


def first_of_file(selections: Sequence[Selection]) -> str:
    """Why the first, where nothing tells more."""
    if len(selections) < 2:
        return ""
    return (
        f"{named(selections[0])} is the first of {len(selections)} in the catalog, as it is not known what fits the GPUs. "
        "Ask for another with --size-in-billions."
    )


def uncertain(chosen: Selection, place: Place) -> str:
    """Why the smallest, where none fits with room to spare."""
    return f"It is not certain that {named(chosen)} fits {_gpus(place.gpus, place.gpu_gib)}; nothing smaller was asked for."


def nothing_fits(
    count: int,
    smallest: Selection,
    size: Footprint,
    needs: int | None,
    gpu_gib: float,
    free: Sequence[float],
    asked: float | None,
) -> str:
    """What the nearest miss, the smallest of ``count``, would need, and what there is."""
    if count > 1:
        which = f"{named(smallest)}, the smallest of {count},"
    else:
        which = named(smallest)
    weights = f"{size.weights_bytes / GIB:.1f} GiB of weights"
    if needs:
        needed = f"needs {_gpus(needs, gpu_gib)}"
    else:
        needed = f"fits no number of GPUs of {gpu_gib:.0f} GiB"
    if asked is None:
        given = ""
    else:
        given = f"{asked:g} {'is' if asked <= 1 else 'are'} asked for, and "
    if any(free):
        smaller = "Ask for a smaller size or a quantized format, terminate"
    else:
        smaller = "Terminate"
    return (
        f"{which} {needed} ({weights}); {given}{sum(free):g} of the cluster's GPUs are free, at most {max(free):g} on one node. "
        f"{smaller} another model, or add a node."
    )


def _distinction(selections: Sequence[Selection]) -> str:
    if len({each.spec.size_in_billions for each in selections}) > 1:
        return "is the largest that fits"
    return "is the least quantized that fits"


def _gpus(count: float, gib: float) -> str:
    noun = "GPU" if count <= 1 else "GPUs"
    return f"{count:g} {noun} of {gib:.0f} GiB"
