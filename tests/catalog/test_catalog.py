"""Choosing a model by name: what is asked for is found, and what is not there is refused with what is."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from xinfer.catalog import Catalog
from xinfer.errors import LaunchRefused

CATALOG = Catalog.load()
TINY = """
name: {name}
description: A family made for a test.
languages: [en, no]
abilities: [chat]
context_length: 128
specs:
  - {{size_in_billions: "1", model_id: "{model_id}"}}
"""


def write(folder: Path, name: str, model_id: str = "someone/model") -> Path:
    file = folder / f"{name}.yaml"
    file.write_text(TINY.format(name=name, model_id=model_id), encoding="utf-8")
    return file


@pytest.mark.parametrize("size", ["8", 8, 8.0, "8.0"])
def test_a_size_finds_the_plain_weights_first(size: str | float) -> None:
    chosen = CATALOG.select("qwen3", size)
    assert (chosen.path, chosen.spec.format, chosen.quantization) == ("Qwen/Qwen3-8B", "pytorch", "none")


@pytest.mark.parametrize("size", ["1_7", "1.7", 1.7])
def test_a_fraction_may_be_written_three_ways(size: str | float) -> None:
    assert CATALOG.select("qwen3", size).path == "Qwen/Qwen3-1.7B"


def test_unsaid_means_any_and_the_first_spec_wins() -> None:
    assert CATALOG.select("qwen3").path == "Qwen/Qwen3-0.6B"
    assert CATALOG.select("qwen3", format="awq").path == "Qwen/Qwen3-4B-AWQ"
    assert CATALOG.select("qwen2.5-instruct", 7, quantization="Int8").path == "Qwen/Qwen2.5-7B-Instruct-GPTQ-Int8"


def test_case_matters_neither_for_names_nor_for_formats_nor_for_quantizations() -> None:
    assert CATALOG.select("QWEN3", 8, "FP8", "Fp8").path == "Qwen/Qwen3-8B-FP8"
    assert CATALOG.select("qwen2.5-instruct", 7, "gptq", "int8").quantization == "Int8"


@pytest.mark.parametrize(
    ("asked", "words", "param"),
    [
        ({"name": "qwen33"}, ["no such family: qwen33", "qwen3", "`xinfer models`"], "model_name"),
        ({"name": "zzz"}, ["no such family: zzz. `xinfer models`"], "model_name"),
        ({"name": "qwen3", "size_in_billions": 7}, ["no such size: 7", "0.6, 1.7, 4, 8"], "model_size_in_billions"),
        ({"name": "qwen3", "size_in_billions": "big"}, ["no such size: big", "0.6"], "model_size_in_billions"),
        ({"name": "qwen3", "size_in_billions": "1e999999999"}, ["no such size: 1e9"], "model_size_in_billions"),
        ({"name": "qwen3", "size_in_billions": float("nan")}, ["no such size: nan"], "model_size_in_billions"),
        (
            {"name": "qwen3", "size_in_billions": 8, "format": "ggufv2"},
            ["no such format", "pytorch, fp8, awq."],
            "model_format",
        ),
        (
            {"name": "qwen3", "format": "awq", "quantization": "Int8"},
            ["no such quantization", "from: Int4."],
            "quantization",
        ),
    ],
    ids=str,
)
def test_a_refusal_names_what_there_is(asked: dict[str, str], words: list[str], param: str) -> None:
    with pytest.raises(LaunchRefused) as caught:
        CATALOG.select(**asked)
    assert all(word in caught.value.message for word in words), caught.value.message
    assert caught.value.param == param


def test_the_bundled_models_folder_is_asked_for_only_when_it_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xinfer.tiny_chat", SimpleNamespace(model_path=lambda: Path("models/tiny")))
    assert CATALOG.select("tiny-chat").path == "models/tiny"


def test_families_of_ones_own_are_added_and_win(tmp_path: Path) -> None:
    write(tmp_path, "mine", "me/mine")
    write(tmp_path, "Qwen3", "me/qwen3")
    catalog = Catalog.load(tmp_path)
    assert catalog.select("mine").path == "me/mine"
    assert catalog.select("qwen3").path == "me/qwen3"
    assert len(catalog.families) == len(CATALOG.families) + 1
    assert catalog.family("mine").languages == ("en", "no")
    assert CATALOG.select("qwen3").path == "Qwen/Qwen3-0.6B"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("context_length: 128", "context_length: -1", "context_length: Input should be greater than 0"),
        ("context_length: 128", "", "context_length: Field required"),
        ("abilities: [chat]", "abilities: [chat, fly]", "abilities.1: "),
        ("abilities: [chat]", "abilities: [chat, tools]", "ability tools and a tool_parser go together"),
        ("abilities: [chat]", "abilities: [chat, hybrid]", "ability hybrid and thinking mode switch go together"),
        ("abilities: [chat]", "ability: chat", "ability: Extra inputs are not permitted"),
        ("abilities: [chat]", "abilities: [chat]\nthinking: {mode: switch}", "thinking: Value error, keywords"),
        ('"1"', "large", "specs.0.size_in_billions: Value error, 'large' is not a size"),
        ('model_id: "someone/model"', "quantizations: [Int4]", "expected exactly one of model_id"),
        ("name: broken", "name: a/b", "name: String should match pattern"),
        ("name: broken", "name: [", "not YAML"),
    ],
)
def test_a_bad_file_is_named_with_its_field(tmp_path: Path, old: str, new: str, words: str) -> None:
    file = write(tmp_path, "broken")
    file.write_text(file.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=r"^broken\.yaml: ") as caught:
        Catalog.load(tmp_path)
    assert words in str(caught.value)


def test_two_files_with_one_name_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "one").rename(tmp_path / "other.yaml")
    write(tmp_path, "one")
    with pytest.raises(ValueError, match="name of another family"):
        Catalog.load(tmp_path)


def test_a_spec_may_name_an_id_for_each_quantization(tmp_path: Path) -> None:
    file = write(tmp_path, "mixed")
    ids = "quantizations: {Int4: a/four, Int8: b/eight}"
    file.write_text(file.read_text(encoding="utf-8").replace('model_id: "someone/model"', ids), encoding="utf-8")
    assert Catalog.load(tmp_path).select("mixed", quantization="int8").path == "b/eight"
