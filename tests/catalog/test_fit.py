"""Which model of a family is chosen on which machines, and what is said of it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xinfer.catalog import Catalog, Family, Selection
from xinfer.catalog.fit import Placement, PlacementRequest, best_placement
from xinfer.catalog.footprint import Footprint
from xinfer.catalog.gpu_places import NodeGpus
from xinfer.catalog.memory import GIB
from xinfer.errors import LaunchRefused

LAYERS = {"0.6": 28, "8": 36, "32": 64, "235": 94}
HEADS = {"0.6": 16, "8": 32, "32": 64, "235": 64}
KV_HEADS = {"235": 4}


def config(size: str) -> dict[str, Any]:
    """As Qwen3 has it."""
    return {
        "num_hidden_layers": LAYERS[size],
        "num_attention_heads": HEADS[size],
        "num_key_value_heads": KV_HEADS.get(size, 8),
        "head_dim": 128,
        "max_position_embeddings": 40960,
    }


def spec(size: str, format: str = "pytorch", quantization: str = "none") -> dict[str, Any]:  # noqa: A002
    source = f"none-has-this/{size}B-{format}-{quantization}"
    return {"size_in_billions": size, "format": format, "quantizations": [quantization], "model_id": source}


def family(*specs: dict[str, Any], **facts: Any) -> list[Selection]:
    """All models of a family of these specs, with their configurations unless ``configs`` are given."""
    sizes = {each["size_in_billions"] for each in specs}
    usual = {"name": "q", "description": "", "abilities": ["chat"], "languages": ["en"], "context_length": 40960}
    known = {"configs": {size: config(size) for size in sizes if size in LAYERS}}
    made = Family.model_validate({**usual, **known, "specs": specs, **facts})
    return Catalog([made]).matching("q")


ALL = family(
    *(
        one
        for size in LAYERS
        for one in (spec(size), spec(size, "fp8", "fp8"), spec(size, "awq", "Int4"), spec(size, "gptq", "Int8"))
    )
)


def node(count: float, gib: float, capability: float | None = 9.0, free: float | None = None) -> NodeGpus:
    return NodeGpus(count, count if free is None else free, int(gib * GIB), capability)


def told(choice: Placement) -> tuple[str, str, float]:
    return choice.selection.spec.size_in_billions, choice.selection.spec.format, choice.gpus


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([node(1, 8)], ("0.6", "pytorch", 1)),
        ([node(1, 12)], ("8", "awq", 1)),
        ([node(1, 24)], ("8", "pytorch", 1)),
        ([node(2, 24)], ("32", "fp8", 2)),
        ([node(1, 48)], ("32", "fp8", 1)),
        ([node(1, 80)], ("32", "pytorch", 1)),
        ([node(4, 40, 8.0)], ("235", "awq", 4)),
        ([node(4, 80)], ("235", "fp8", 4)),
        ([node(8, 80)], ("235", "pytorch", 8)),
        ([node(8, 80, free=4)], ("235", "fp8", 4)),
        ([node(8, 80, free=1)], ("32", "pytorch", 1)),
        ([node(1, 80), node(1, 80)], ("32", "pytorch", 1)),  # no model spans nodes
        ([node(1, 24, 8.9), node(8, 80)], ("235", "pytorch", 8)),
        ([node(1, 24, 8.9), node(1, 80)], ("8", "pytorch", 1)),  # Ray may take either
        ([node(8, 80), NodeGpus(4, 4)], ("235", "pytorch", 8)),  # what is not known is left out
        ([node(1, 80, 7.0)], ("32", "pytorch", 1)),
        ([node(1, 48, 7.0)], ("32", "gptq", 1)),  # no kernels for fp8 or AWQ
        ([node(1, 48, None)], ("32", "fp8", 1)),
    ],
)
def test_the_largest_that_fits_and_of_one_size_the_least_quantized(
    nodes: list[NodeGpus], expected: tuple[str, str, float]
) -> None:
    choice = best_placement(ALL, nodes, PlacementRequest())
    assert told(choice) == expected
    size, _, gpus = expected
    assert choice.why.startswith(f"q {size}B")
    assert f"is the largest that fits {gpus} GPU" in choice.why


@pytest.mark.parametrize(("capability", "says"), [(8.0, True), (8.9, False), (None, False)])
def test_gpus_without_units_for_fp8_compute_with_16_bits(capability: float | None, says: bool) -> None:
    choice = best_placement(ALL, [node(2, 24, capability)], PlacementRequest())
    assert told(choice) == ("32", "fp8", 2)
    assert ("compute with 16" in choice.why) is says


def test_what_is_asked_for_narrows_it() -> None:
    eight = [each for each in ALL if each.spec.size_in_billions == "8"]
    choice = best_placement(eight, [node(1, 16)], PlacementRequest())
    assert told(choice) == ("8", "fp8", 1)
    assert choice.why.startswith("q 8B (fp8) is the least quantized that fits 1 GPU of 16 GiB. It needs about ")
    plain = [each for each in ALL if each.spec.format == "pytorch"]
    assert told(best_placement(plain, [node(1, 16)], PlacementRequest())) == ("0.6", "pytorch", 1)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (PlacementRequest(gpus=1), ("32", "pytorch", 1)),
        (PlacementRequest(gpus=2), ("235", "awq", 2)),
        (PlacementRequest(gpus=0.5), ("32", "awq", 0.5)),
        (PlacementRequest(replicas=2), ("235", "fp8", 4)),
        (PlacementRequest(replicas=8), ("32", "pytorch", 1)),
        (PlacementRequest(gpus=8, tokens=40960), ("235", "pytorch", 8)),
        (PlacementRequest(share=0.3), ("235", "awq", 8)),
        (PlacementRequest(gpus=0), ("0.6", "pytorch", 0)),
    ],
)
def test_gpus_replicas_and_share_of_memory_that_are_asked_for(
    wanted: PlacementRequest, expected: tuple[str, str, float]
) -> None:
    assert told(best_placement(ALL, [node(8, 80)], wanted)) == expected


def test_context_that_does_not_fit_is_cut_and_one_that_is_asked_for_is_not() -> None:
    eight = family(spec("8"))
    assert best_placement(eight, [node(1, 80)], PlacementRequest()).context_length is None
    cut = best_placement(eight, [node(1, 22)], PlacementRequest())
    assert cut.context_length is not None
    assert 16384 <= cut.context_length < 40960
    assert cut.context_length % 1024 == 0
    assert f"with a context of {cut.context_length} tokens. Its own context of 40960 does not fit" in cut.why
    asked = best_placement(eight, [node(2, 22)], PlacementRequest(tokens=40960))
    assert (asked.gpus, asked.context_length) == (2, None)
    fp8 = best_placement(eight, [node(1, 22)], PlacementRequest(kv_dtype="fp8"))
    assert (fp8.context_length or 40960) > cut.context_length


def test_heads_decide_how_many_gpus_can_share_it() -> None:
    odd = {"num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4, "head_dim": 128}
    seven = family(spec("7"), configs={"7": odd})
    assert best_placement(seven, [node(8, 6)], PlacementRequest()).gpus == 4
    with pytest.raises(LaunchRefused):
        best_placement(seven, [node(8, 2.5)], PlacementRequest())


def test_nothing_is_said_where_there_is_no_choice() -> None:
    one = family(spec("8"))
    assert best_placement(one, [node(1, 80)], PlacementRequest()).why == ""
    assert best_placement(one, [], PlacementRequest()).why == ""
    assert best_placement(one, [NodeGpus(1, 1)], PlacementRequest()).why == ""
    assert best_placement(one, [node(4, 12)], PlacementRequest()).why.startswith(
        "q 8B takes 2 GPUs of 12 GiB. It needs about "
    )


def test_memory_that_is_not_known_means_the_first_of_the_file() -> None:
    choice = best_placement(ALL, [NodeGpus(2, 2)], PlacementRequest())
    assert (choice.selection, choice.gpus) == (ALL[0], 1)
    assert "q 0.6B is the first of 16 in the catalog" in choice.why
    assert best_placement(ALL, [NodeGpus(2, 2)], PlacementRequest(gpus=2)).gpus == 2


@pytest.mark.parametrize(
    ("memory", "expected"),
    [(16, ("8", "pytorch", 0)), (8, ("8", "awq", 0)), (1, ("8", "pytorch", 0)), (None, ("8", "pytorch", 0))],
)
def test_cpus_get_the_smallest_and_a_quantized_one_only_if_no_other_fits(
    memory: int | None, expected: tuple[str, str, float]
) -> None:
    nodes = [NodeGpus(memory_bytes=memory and memory * GIB)]
    choice = best_placement(family(spec("32"), spec("8"), spec("8", "awq", "Int4")), nodes, PlacementRequest())
    assert told(choice) == expected
    assert "is the smallest" in choice.why
    assert "runs on the CPU" in choice.why


def test_what_cannot_fit_is_refused_with_what_it_would_need() -> None:
    big = family(spec("235"), spec("235", "fp8", "fp8"))
    with pytest.raises(LaunchRefused) as caught:
        best_placement(big, [node(8, 80, free=2)], PlacementRequest())
    assert caught.value.param == "n_gpu"
    assert caught.value.message.startswith(
        "q 235B (fp8), the smallest of 2, needs 4 GPUs of 80 GiB (219.8 GiB of weights); "
        "2 of the cluster's GPUs are free, at most 2 on one node."
    )
    with pytest.raises(LaunchRefused, match="0 of the cluster's GPUs are free"):
        best_placement(ALL, [node(8, 80, free=0)], PlacementRequest())
    with pytest.raises(LaunchRefused, match=r"the launch requests 0\.5 per replica"):
        best_placement(big, [node(8, 80)], PlacementRequest(gpus=0.5))
    with pytest.raises(LaunchRefused, match="does not fit on any number of GPUs of 1 GiB"):
        best_placement(big, [node(8, 1)], PlacementRequest())


def test_what_might_fit_is_not_refused() -> None:
    """Sizes are rounded, some models are published in 4 bits alone, and arguments of the engine may change everything."""
    tight = best_placement(family(spec("8")), [node(1, 17.5)], PlacementRequest())
    assert (tight.gpus, "may not fit" in tight.why) == (1, True)
    unknown = family(spec("20"), configs={})
    assert best_placement(unknown, [node(1, 24)], PlacementRequest()).gpus == 1
    with pytest.raises(LaunchRefused):
        best_placement(family(spec("70"), configs={}), [node(1, 16)], PlacementRequest())
    big = family(spec("235"))
    assert best_placement(big, [node(1, 80)], PlacementRequest(can_refuse=False)).gpus == 1
    assert best_placement(big, [node(1, 80), NodeGpus(8, 8)], PlacementRequest()).gpus == 1, (
        "the other node's GPUs may be larger"
    )


def test_the_smallest_is_tried_where_another_node_may_be_larger() -> None:
    nodes = [node(1, 80, free=0), NodeGpus(8, 8)]
    choice = best_placement(family(spec("32"), spec("8")), nodes, PlacementRequest())
    assert (choice.selection.spec.size_in_billions, choice.gpus) == ("8", 1)
    assert choice.why.startswith("q 8B is the smallest of 2 in the catalog, as it is not known what fits the GPUs.")


def test_cache_of_unknown_size_leaves_room_and_is_said() -> None:
    choice = best_placement(family(spec("8"), spec("32"), configs={}), [node(1, 80)], PlacementRequest())
    assert choice.why.endswith("GiB and the KV cache, as the number of layers is not known.")
    assert choice.context_length is None


def test_files_that_are_here_count_as_they_are() -> None:
    measured = Footprint(config("8"), 60 * GIB, 40960, is_measured=True)
    choice = best_placement(
        family(spec("8"), spec("8", "fp8", "fp8")), [node(1, 80)], PlacementRequest(), lambda _: measured
    )
    assert "It needs 66.1 GiB with a context of 40960 tokens." in choice.why


SIZES = st.sampled_from([8, 16, 24, 40, 48, 80, 141])
NODES = st.lists(
    st.builds(node, st.sampled_from([1, 2, 4, 8]), SIZES, st.sampled_from([7.0, 8.0, 9.0])), min_size=1, max_size=3
)


@settings(max_examples=30, deadline=None)
@given(NODES, st.sampled_from([1, 2, 3]))
def test_what_is_chosen_fits_wherever_ray_may_put_it(nodes: list[NodeGpus], replicas: int) -> None:
    try:
        choice = best_placement(ALL, nodes, PlacementRequest(replicas=replicas))
    except LaunchRefused:
        assert sum(int(each.free) for each in nodes) < replicas
        return
    able = [each for each in nodes if each.free >= choice.gpus]
    assert sum(int(each.free / choice.gpus) for each in able) >= replicas
    size = choice.selection.spec.size_in_billions
    bits = {"pytorch": 2.0, "fp8": 1.0, "gptq": 1.0, "awq": 0.5}[choice.selection.spec.format]
    per_gpu = float(size) * 1e9 * bits / choice.gpus
    assert all(per_gpu <= 0.92 * (each.gpu_bytes or 0) for each in able)


def test_every_family_that_is_shipped_finds_a_place_on_large_machines() -> None:
    catalog = Catalog.load()
    for name, gib in itertools.product(catalog.families, (80, 288)):
        choice = best_placement(catalog.matching(name), [node(64, gib, 10.0)], PlacementRequest())
        assert choice.selection.family.name == name
        assert choice.gpus >= 1
