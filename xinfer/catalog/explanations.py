"""Why a launch chose this model of a family, or could choose none, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from xinfer.catalog.catalog import Selection
from xinfer.catalog.footprint import Footprint
from xinfer.catalog.gpu_places import Place
from xinfer.catalog.memory import GIB, MemoryEstimate

_CHOOSE_ANOTHER = "Choose another with --size-in-billions."
_UNKNOWN_MEMORY = "as it is not known what fits the GPUs"


def named(selection: Selection) -> str:
    """``qwen3 8B (fp8)``: family and size, with format and quantization if these are not the usual ones."""
    spec = selection.spec
    name = f"{selection.family.name} {spec.size_in_billions}B"
    details: list[str] = []
    if spec.format != "pytorch":
        details.append(spec.format)
    # Formats with one quantization have it under the format's own name, which need not be said twice.
    if selection.quantization not in ("none", spec.format):
        details.append(selection.quantization)
    if details:
        return f"{name} ({' '.join(details)})"
    return name


def because(
    selections: Sequence[Selection],
    chosen: Selection,
    size: Footprint,
    place: Place,
    needed: MemoryEstimate,
    *,
    is_cut: bool,
) -> str:
    """Why ``chosen`` at ``place``; empty if there was no choice.

    ``is_cut`` means a context shorter than the model's own.
    """
    sentences: list[str] = []
    if len(selections) > 1:
        sentences.append(
            f"{named(chosen)} {_distinction(selections)} {_gpus(place.gpus, place.gpu_gib, place.workers)}."
        )
    elif place.gpus > 1:
        sentences.append(f"{named(chosen)} takes {_gpus(place.gpus, place.gpu_gib, place.workers)}.")
    if sentences or is_cut:
        sentences.append(_need(size, place, needed))
    if sentences and chosen.spec.format == "fp8" and not place.computes_in_fp8:
        sentences.append("These GPUs hold its weights in 8 bits and compute with 16.")
    if is_cut:
        own = size.context_length
        sentences.append(f"Its own context of {own} does not fit; more GPUs (--n-gpu) hold a longer one.")
    return " ".join(sentences)


def _need(size: Footprint, place: Place, needed: MemoryEstimate) -> str:
    amount = f"{needed.total_bytes / GIB:.1f} GiB"
    if not size.is_measured:
        amount = f"about {amount}"
    if place.ranks > 1:
        amount = f"{amount} on each"
    if needed.unknown:
        return f"It needs {amount} and {' and '.join(needed.unknown)}."
    return f"It needs {amount} with a context of {needed.tokens} tokens."


def on_cpu(count: int, chosen: Selection, size: Footprint) -> str:
    """Why ``chosen`` of ``count`` models runs on the CPU."""
    if count < 2:
        return ""
    if chosen.spec.format == "pytorch":
        plain = " with plain weights"
    else:
        plain = ""
    weights = f"{size.weights_bytes / GIB:.1f} GiB"
    return f"{named(chosen)} is the smallest{plain}, as it runs on the CPU: {weights}. {_CHOOSE_ANOTHER}"


def first_of_file(selections: Sequence[Selection]) -> str:
    """Why the first of the family's file, where the memory of no GPU is known."""
    count = len(selections)
    if count < 2:
        return ""
    name = named(selections[0])
    return f"{name} is the first of {count} in the catalog, {_UNKNOWN_MEMORY}. {_CHOOSE_ANOTHER}"


def smallest(count: int, chosen: Selection) -> str:
    """Why the smallest, where it fits no GPU whose memory is known and other GPUs may be larger."""
    if count < 2:
        return ""
    return f"{named(chosen)} is the smallest of {count} in the catalog, {_UNKNOWN_MEMORY}. {_CHOOSE_ANOTHER}"


def uncertain(chosen: Selection, place: Place) -> str:
    """Why the smallest, where none fits for certain."""
    gpus = _gpus(place.gpus, place.gpu_gib, place.workers)
    return f"{named(chosen)} may not fit {gpus}, and nothing smaller matches the launch."


def nothing_fits(
    count: int,
    chosen: Selection,
    size: Footprint,
    needs: int | None,
    gpu_gib: float,
    free: Sequence[float],
    requested: float | None,
) -> str:
    """What ``chosen``, the smallest of ``count``, would need, and what the cluster has."""
    name = named(chosen)
    if count > 1:
        name = f"{name}, the smallest of {count},"
    weights = f"{size.weights_bytes / GIB:.1f} GiB of weights"
    if needs:
        needed = f"needs {_gpus(needs, gpu_gib)}"
    else:
        needed = f"does not fit on any number of GPUs of {gpu_gib:.0f} GiB"
    available = f"{sum(free):g} of the cluster's GPUs are free, at most {max(free):g} on one node"
    if requested is not None:
        available = f"the launch requests {requested:g} per replica, and {available}"
    # With no GPU free a smaller model would not fit either.
    if any(free):
        advice = "Choose a smaller size or a quantized format, terminate another model, or add a node."
    else:
        advice = "Terminate another model, or add a node."
    return f"{name} {needed} ({weights}); {available}. {advice}"


def _distinction(selections: Sequence[Selection]) -> str:
    if len({each.spec.size_in_billions for each in selections}) > 1:
        return "is the largest that fits"
    return "is the least quantized that fits"


def _gpus(count: float, gib: float, workers: int = 1) -> str:
    noun = "GPU" if count <= 1 else "GPUs"
    gpus = f"{count:g} {noun} of {gib:.0f} GiB"
    if workers > 1:
        return f"{workers} nodes with {gpus} each"
    return gpus
