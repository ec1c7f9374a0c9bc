"""Chooses the model of a family that fits a cluster, the number of its GPUs, and says why.

A plain decision: the facts of the nodes come in, a choice with its reason comes out. No Ray, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xinfer.catalog.catalog import Selection
from xinfer.catalog.explanations import because, first_of_file, nothing_fits, on_cpu, smallest, uncertain
from xinfer.catalog.footprint import Footprint, footprint_of
from xinfer.catalog.gpu_places import NodeGpus, Place, places, whole_nodes
from xinfer.catalog.memory import GIB
from xinfer.catalog.weights import PLAIN_BITS, bits_per_weight
from xinfer.errors import LaunchRefused

USEFUL_TOKENS = 16384
"""A model is only chosen automatically if the KV cache of a request this long fits beside its weights.

For a model with a shorter context it is that context."""
_ROUNDED_SIZE = 0.06
"""Names round sizes down: 14.8 billion parameters are called 14."""
_UNKNOWN_CACHE = 0.15
"""Share of the usable memory that is reserved for a KV cache of unknown size."""
_MOST_QUANTIZED = 0.3
"""Weights in 4 bits as a share of plain ones: some models are published only so, which their config alone shows."""
_CONTEXT_STEP = 1024


@dataclass(frozen=True, slots=True)
class PlacementRequest:
    """The options of a launch that limit the choice."""

    gpus: float | None = None
    """GPUs per replica and node; None is as many as the model needs, 0 the CPU."""
    workers: int = 1
    """Nodes that may share a replica; if it is left to choose ``gpus``, one that holds the model has it alone."""
    replicas: int = 1
    tokens: int | None = None
    """The context length; None is the longest that fits, up to the model's own."""
    kv_dtype: str = "auto"
    share: float = 0.92
    """Share of each GPU's memory that the model may use."""
    can_refuse: bool = True
    """False if arguments of the engine change the memory it needs, so that the estimate may not hold."""


@dataclass(frozen=True, slots=True)
class Placement:
    selection: Selection
    gpus: float
    """On each of its nodes."""
    context_length: int | None = None
    """Set if the model's own does not fit."""
    why: str = ""
    """The reason in sentences; empty if there was no choice."""
    workers: int = 1
    """Nodes that share a replica."""


Sized = tuple[Selection, Footprint]


def best_placement(
    selections: Sequence[Selection],
    nodes: Sequence[NodeGpus],
    request: PlacementRequest,
    footprint: Callable[[Selection], Footprint] = footprint_of,
) -> Placement:
    """The best of ``selections`` that fits: the largest, of one size the least quantized, on the fewest GPUs.

    Without a GPU it is the smallest. Where the memory of the GPUs is not known it is the first. LaunchRefused says
    what the smallest would need.
    """
    with_gpus = [node for node in nodes if node.gpus]
    if request.gpus == 0 or (request.gpus is None and not with_gpus):
        return _on_cpu(_sized(selections, footprint), nodes, request)
    known = [node for node in with_gpus if node.gpu_bytes]
    if not known:
        # Nodes without NVML: only the order of the family's file says what is preferred.
        gpus = request.gpus or (whole_nodes(nodes, request.workers) if request.workers > 1 else 1)
        return Placement(selections[0], gpus, why=first_of_file(selections), workers=request.workers)

    found = _places(known, request)
    sized = _sized(sorted(selections, key=_preference), footprint)
    for selection, size in sized:
        for place in found:
            if not _suits(selection, size, place):
                continue
            length = _length(size, place, request)
            if length:
                return _chosen(selections, (selection, size), place, length, request)

    # A node whose memory is not known may have room for what fits nowhere else.
    is_sure = request.can_refuse and len(known) == len(with_gpus)
    return _nearest(sized, known, found, request, is_sure=is_sure)


def _places(nodes: Sequence[NodeGpus], request: PlacementRequest) -> list[Place]:
    found = list(places(nodes, request.gpus, request.replicas, request.share, request.workers))
    if request.gpus is None and request.workers > 1:
        on_one_node = places(nodes, None, request.replicas, request.share)
        return [*on_one_node, *found]
    return found


def _sized(selections: Sequence[Selection], footprint: Callable[[Selection], Footprint]) -> list[Sized]:
    return [(selection, footprint(selection)) for selection in selections]


def _chosen(
    selections: Sequence[Selection], one: Sized, place: Place, length: int, request: PlacementRequest
) -> Placement:
    selection, size = one
    is_cut = request.tokens is None and length < size.context_length
    if is_cut:
        context = max(_CONTEXT_STEP, length // _CONTEXT_STEP * _CONTEXT_STEP)
    else:
        context = None
    tokens = context or request.tokens or size.context_length
    needed = size.estimate(tokens, place.ranks, kv_dtype=request.kv_dtype)
    why = because(selections, selection, size, place, needed, is_cut=is_cut)
    return Placement(selection, place.gpus, context, why, place.workers)


def _on_cpu(sized: Sequence[Sized], nodes: Sequence[NodeGpus], request: PlacementRequest) -> Placement:
    """The smallest plain model, or a quantized one if only that fits."""
    largest = max((node.memory_bytes or 0 for node in nodes), default=0)
    # On the CPU every token costs a pass over all weights, so small comes before good.
    by_size = sorted(sized, key=lambda each: (_bits(each[0]) != PLAIN_BITS, each[1].weights_bytes))

    selection, size = by_size[0]
    for candidate, footprint in by_size:
        if footprint.estimate(request.tokens or 1, 0).total_bytes <= largest:
            selection = candidate
            size = footprint
            break

    return Placement(selection, 0, why=on_cpu(len(sized), selection, size), workers=request.workers)


def _suits(selection: Selection, size: Footprint, place: Place) -> bool:
    """Whether these GPUs have the kernels for the model's format and can share its attention heads."""
    return size.can_be_shared_by(place.ranks_on_each) and place.has_kernels_for(selection.spec.format)


def _length(size: Footprint, place: Place, request: PlacementRequest) -> int:
    """The context length in tokens that fits at ``place``; 0 if the model does not fit with a useful one."""
    tokens = request.tokens or min(size.context_length, USEFUL_TOKENS)
    needed = size.estimate(tokens, place.ranks, kv_dtype=request.kv_dtype)
    rounded = 0.0
    if not size.is_measured:
        rounded = size.weights_bytes * _ROUNDED_SIZE / place.ranks

    usable = float(place.gpu_bytes)
    if needed.unknown:
        usable *= 1 - _UNKNOWN_CACHE
    room = int(usable - rounded)
    if needed.total_bytes > room:
        return 0
    return request.tokens or size.longest(room, place.ranks, request.kv_dtype)


def _nearest(
    sized: Sequence[Sized],
    nodes: Sequence[NodeGpus],
    found: Sequence[Place],
    request: PlacementRequest,
    *,
    is_sure: bool,
) -> Placement:
    """The smallest model if it might fit; LaunchRefused if it certainly does not."""
    selection, size = min(sized, key=lambda each: each[1].weights_bytes)
    usable = [place for place in found if _suits(selection, size, place)]

    # The estimate may be too high: by a rounded size, or because the only weights published are quantized.
    slack = _MOST_QUANTIZED
    if size.is_known:
        slack = 1 - _ROUNDED_SIZE
    might_fit = not is_sure or _lowest_fill(size, usable, request.tokens or 1) * slack <= 1

    if usable and might_fit:
        most_gpus = usable[-1]
        return Placement(selection, most_gpus.gpus, why=uncertain(selection, most_gpus), workers=most_gpus.workers)
    if not is_sure:
        return Placement(selection, request.gpus or 1, why=smallest(len(sized), selection), workers=request.workers)
    largest = max(node.gpu_bytes or 0 for node in nodes)
    needs = size.gpus_needed(int(largest * request.share), request.tokens or 1, kv_dtype=request.kv_dtype)
    free = [node.free for node in nodes]
    message = nothing_fits(len(sized), selection, size, needs, largest / GIB, free, request.gpus)
    raise LaunchRefused(message, param="n_gpu")


def _lowest_fill(size: Footprint, usable: Sequence[Place], tokens: int) -> float:
    """The share of a GPU's usable memory that the model needs at the best place; above 1 it does not fit."""
    fills: list[float] = []
    for place in usable:
        needed = size.estimate(tokens, place.ranks)
        fills.append(needed.total_bytes / place.gpu_bytes)
    return min(fills, default=0.0)


def _preference(selection: Selection) -> tuple[float, float, bool]:
    """The largest first; of one size plain weights before 8 bits before 4, and fp8 before other 8 bits."""
    return -float(selection.spec.size_in_billions), -_bits(selection), selection.spec.format != "fp8"


def _bits(selection: Selection) -> float:
    return bits_per_weight(selection.spec.format, selection.quantization)
