"""What fits a cluster, as the console's catalog shows it."""

from __future__ import annotations

import pytest

from supervisor.launching.fit_table import family_fit, model_fits
from supervisor.launching.launch_request import LaunchRequest
from supervisor.launching.placement import choose_placement
from xinfer.catalog import Catalog
from xinfer.catalog.gpu_places import NodeGpus

GIB = 1024**3
ON_CPU = [NodeGpus(memory_bytes=16 * GIB)]
ONE_GPU = [NodeGpus(gpus=1, free=1, gpu_bytes=24 * GIB, capability=8.9, memory_bytes=64 * GIB)]


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load()


@pytest.mark.parametrize("name", ["tiny-chat", "qwen3", "qwen2-instruct"])
def test_a_family_is_what_a_launch_would_choose(catalog: Catalog, name: str) -> None:
    chosen = choose_placement(LaunchRequest.read({"model_name": name}), catalog, ONE_GPU)
    fit = family_fit(catalog.family(name), catalog, ONE_GPU)["fit"]
    assert fit["fits"]
    assert fit["model_size_in_billions"] == chosen.selection.spec.size_in_billions
    assert (fit["n_gpu"], fit["why"]) == (chosen.gpus, chosen.why)
    assert 0 < (fit["memory_gib"] or 0) < 24


def test_models_that_do_not_fit_say_why_and_what_they_need(catalog: Catalog) -> None:
    models = model_fits(catalog.family("qwen2-instruct"), catalog, ONE_GPU)
    assert len(models) == len(list(catalog.family("qwen2-instruct").models()))
    large = [each for each in models if each["model_size_in_billions"] == "72" and each["quantization"] == "none"]
    assert [each["fits"] for each in large] == [False] * len(large)
    assert all("GiB" in each["why"] for each in large)
    assert all((each["memory_gib"] or 0) > 100 for each in large)
    small = [each for each in models if each["model_size_in_billions"] == "0.5"]
    assert all(each["fits"] for each in small)


def test_without_a_gpu_the_memory_of_the_machine_counts(catalog: Catalog) -> None:
    models = model_fits(catalog.family("qwen2-instruct"), catalog, ON_CPU)
    by_size = {each["model_size_in_billions"]: each for each in models if each["quantization"] == "none"}
    assert by_size["0.5"]["fits"]
    assert not by_size["72"]["fits"]
    assert "the largest machine has 16.0 GiB" in by_size["72"]["why"]


def test_every_family_has_a_row(catalog: Catalog) -> None:
    for family in catalog.families.values():
        row = family_fit(family, catalog, ON_CPU)
        assert row["sizes"]
        assert row["fit"]["fits"] or row["fit"]["why"]
