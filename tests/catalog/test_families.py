"""The shipped family files: each is whole, and names models that can be told from each other."""

import re
from pathlib import Path

import pytest

from tests.catalog import page
from xinfer.catalog import Catalog, Family
from xinfer.catalog.catalog import FAMILIES_FOLDER, read_file

FILES = sorted(FAMILIES_FOLDER.glob("*.yaml"))
FAMILIES = list(Catalog.load().families.values())
PUBLISHED_AS_FP8 = {
    *("deepseek-ai/DeepSeek-V4-Flash-0731", "deepseek-ai/DeepSeek-V4.1-Flash", "zai-org/GLM-5.3"),
    "deepseek-ai/DeepSeek-V4.1-Flash-1017",
}
"""Their names do not say so, since there is nothing plainer, or since that has the longer name."""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_is_one_whole_family_under_its_own_name(file: Path) -> None:
    family = read_file(file)
    assert file.stem == family.name.lower()
    assert {"chat", "generate"} & set(family.abilities)
    assert re.fullmatch(r"[A-Z].{10,}\.", family.description)


def test_there_are_families_enough_and_no_name_is_another_in_another_case() -> None:
    assert len({family.name.casefold() for family in FAMILIES}) == len(FILES) == len(FAMILIES)
    assert len(FAMILIES) >= 80


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_hub_ids_tell_the_size_and_the_format(family: Family) -> None:
    for spec in (spec for spec in family.specs if not spec.bundled):
        for quantization in spec.quantizations:
            path = spec.path(quantization)
            assert re.fullmatch(r"[\w.-]+/[\w.-]+", path)
            assert "{" not in path
            size = re.search(r"-E?(\d+(?:\.\d+)?)B\b", path, re.IGNORECASE)
            assert size is None or size[1] == spec.size_in_billions
            if spec.format in ("fp8", "awq", "gptq"):
                assert spec.format in path.lower() or path in PUBLISHED_AS_FP8
            assert bits_in(quantization) <= bits_in(path) or not bits_in(path), path


def bits_in(name: str) -> set[str]:
    """The numbers of bits that a name speaks of: Int4, 8bit, W4A16."""
    return {bits for match in re.findall(r"int([48])|\bw([48])|([48])-?bit", name.lower()) for bits in match if bits}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_activated_parameters_are_fewer_than_all(family: Family) -> None:
    for spec in family.specs:
        assert float(spec.activated_size_in_billions or 0) < float(spec.size_in_billions)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_spec_can_be_chosen(family: Family) -> None:
    keys = [(spec.size_in_billions, spec.format, one.lower()) for spec in family.specs for one in spec.quantizations]
    assert len(set(keys)) == len(keys)


def test_no_model_has_two_names() -> None:
    owners: dict[str, set[str]] = {}
    for family in FAMILIES:
        for spec in family.specs:
            for one in spec.quantizations:
                owners.setdefault(spec.path(one), set()).add(family.name)
    assert {path: names for path, names in owners.items() if len(names) > 1} == {}


def test_the_page_lists_exactly_these_families() -> None:
    assert page.written() == page.table(FAMILIES), "python -m tests.catalog.page writes it anew"
