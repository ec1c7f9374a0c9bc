"""Families as users describe them, in xinfer's format and in Xinference's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.catalog.samples import DEEPSEEK_R1, DEEPSEEK_V31, PLAIN, QWEN3
from xinfer.catalog import Catalog, Family
from xinfer.catalog.registration import read_family
from xinfer.catalog.suggestion import suggest
from xinfer.errors import FamilyRefused
from xinfer.messages import ThinkingMode
from xinfer.tiny_chat import model_path

OURS: dict[str, Any] = {
    "name": "whale",
    "description": "A whale.",
    "languages": ["en"],
    "abilities": ["chat"],
    "context_length": 2048,
    "specs": [{"size_in_billions": "7", "model_id": "sea/whale-7b"}],
}
XINFERENCES: dict[str, Any] = {
    "version": 2,
    "context_length": 32768,
    "model_name": "custom-qwen",
    "model_lang": ["en", "zh"],
    "model_ability": ["chat", "tools", "reasoning", "hybrid"],
    "model_description": "A model of our own.",
    "model_family": "qwen3",
    "model_specs": [
        {
            "model_format": "pytorch",
            "model_size_in_billions": "0_6",
            "quantization": "none",
            "model_id": "sea/whale-0.6b",
            "model_hub": "huggingface",
            "model_uri": None,
            "model_revision": "abc",
        }
    ],
    "chat_template": "qwen3",
    "stop": ["<|im_end|>"],
    "stop_token_ids": [151645],
    "reasoning_start_tag": "<think>",
    "reasoning_end_tag": "</think>",
    "tool_parser": "qwen",
    "virtualenv": {"packages": ["transformers"]},
    "is_builtin": True,
}
"""What Xinference's documents have people write."""
SPEC = {"model_format": "pytorch", "model_size_in_billions": 7, "model_id": "sea/whale"}


def read(given: dict[str, Any], **changes: Any) -> Family:
    """``given`` with changes; None leaves a field out."""
    body = {name: value for name, value in {**given, **changes}.items() if value is not None}
    return read_family(json.dumps(body), Catalog.load())


def alone(**changes: Any) -> Family:
    """In Xinference's format, with no known family behind it."""
    return read(XINFERENCES, **{"model_family": "other", "chat_template": None, "tool_parser": None, **changes})


def refusal(given: dict[str, Any], **changes: Any) -> FamilyRefused:
    with pytest.raises(FamilyRefused) as caught:
        read(given, **changes)
    return caught.value


def test_xinfers_own_format() -> None:
    family = read(OURS, chat_template=PLAIN, stop=["."])
    assert family == Family(**OURS, chat_template=PLAIN, stop=(".",))
    assert read_family(OURS, Catalog.load()) == Family(**OURS)


def test_xinferences_format() -> None:
    family, base = read(XINFERENCES), Catalog.load().family("qwen3")
    assert (family.name, family.languages, family.context_length) == ("custom-qwen", ("en", "zh"), 32768)
    assert family.abilities == ("chat", "tools", "reasoning", "hybrid")
    assert (family.thinking, family.reasoning_parser, family.tool_parser) == (base.thinking, "qwen3", "hermes")
    assert (family.chat_template, family.stop, family.stop_token_ids) == (None, ("<|im_end|>",), (151645,))
    (spec,) = family.specs
    assert (spec.size_in_billions, spec.format, spec.path("none"), spec.revision) == (
        *("0.6", "pytorch"),
        *("sea/whale-0.6b", "abc"),
    )


def test_several_hubs_and_quantizations() -> None:
    source = {"quantizations": ["Int4", "Int8"], "model_id": "sea/whale-{quantization}", "model_revision": "v1"}
    spec = {
        "model_format": "gptq",
        "model_size_in_billions": 7,
        "model_src": {"huggingface": source, "modelscope": source},
    }
    (found,) = read(XINFERENCES, model_specs=[spec]).specs
    assert [found.path(name) for name in found.quantizations] == ["sea/whale-Int4", "sea/whale-Int8"]
    assert (found.format, found.revision) == ("gptq", "v1")


@pytest.mark.parametrize("uri", ["{}", "file://{}"])
def test_folders(tmp_path: Path, uri: str) -> None:
    folder = tmp_path / "a whale"
    folder.mkdir()
    (spec,) = read(XINFERENCES, model_specs=[{**SPEC, "model_uri": uri.format(folder)}]).specs
    assert spec.path("none") == str(folder)


def test_embed_means_nothing_beside_other_abilities() -> None:
    """Xinference's own examples have it."""
    for given in (["embed", "generate"], ["generate", "embed"]):
        assert read(XINFERENCES, model_ability=given).abilities == ("generate",)


def test_the_abilities_say_what_and_the_family_how() -> None:
    family = read(XINFERENCES, model_ability=["chat"])
    assert (family.abilities, family.thinking.mode, family.tool_parser) == (("chat",), ThinkingMode.NEVER, None)
    family = read(XINFERENCES, model_ability=["generate", "reasoning"], model_family="QWQ-32b", chat_template=None)
    assert (family.abilities, family.reasoning_parser) == (("generate", "reasoning"), "deepseek_r1")


def test_a_family_named_as_template_is_one_to_be_like() -> None:
    family = read(XINFERENCES, model_family="other", chat_template="gemma-4", tool_parser=None)
    assert (family.reasoning_parser, family.tool_parser) == ("gemma4", "gemma4")


def test_a_registered_family_lends_its_template() -> None:
    catalog = Catalog.load().extended([Family(**OURS, chat_template=PLAIN, stop=("!",))])
    given = {**XINFERENCES, "model_ability": ["chat"], "model_family": "whale", "chat_template": "whale", "stop": None}
    family = read_family(given, catalog)
    assert (family.chat_template, family.stop) == (PLAIN, ("!",))


@pytest.mark.parametrize(
    ("template", "mode", "keywords", "parser"),
    [
        (QWEN3, ThinkingMode.SWITCH, ("enable_thinking",), "qwen3"),
        (DEEPSEEK_V31, ThinkingMode.SWITCH, ("thinking",), "deepseek_v3"),
        (DEEPSEEK_R1, ThinkingMode.ALWAYS, (), "deepseek_r1"),
    ],
)
def test_a_template_of_its_own_tells(template: str, mode: ThinkingMode, keywords: tuple[str, ...], parser: str) -> None:
    family = alone(model_ability=["chat", "reasoning"], chat_template=template)
    assert (family.chat_template, family.thinking.mode, family.thinking.keywords) == (template, mode, keywords)
    assert family.reasoning_parser == parser


def test_a_folders_template_tells() -> None:
    family = alone(model_specs=[{**SPEC, "model_uri": str(model_path())}])
    assert (family.thinking.keywords, family.reasoning_parser) == (("enable_thinking",), "qwen3")
    assert (family.tool_parser, family.chat_template) == ("hermes", None)


@pytest.mark.parametrize(
    ("tag", "parser"), [("<mm:think>", "minimax_m3"), ("<seed:think>", "seed_oss"), ("<think>", "deepseek_r1")]
)
def test_tags_tell(tag: str, parser: str) -> None:
    family = alone(model_ability=["chat", "reasoning"], reasoning_start_tag=tag)
    assert (family.reasoning_parser, family.thinking.start_tag) == (parser, tag)


@pytest.mark.parametrize(
    ("theirs", "vllms"),
    [
        ("qwen", "hermes"),
        ("llama3", "llama3_json"),
        ("glm5", "glm47"),
        ("deepseek-v3.1", "deepseek_v31"),
        ("xlam", "xlam"),
    ],
)
def test_tool_parsers(theirs: str, vllms: str) -> None:
    assert alone(model_ability=["chat", "tools"], tool_parser=theirs).tool_parser == vllms


def test_vllms_own_words_win() -> None:
    thinking = {"mode": "always"}
    family = read(XINFERENCES, thinking=thinking, reasoning_parser="olmo3", tool_parser="olmo3")
    assert (family.thinking.mode, family.reasoning_parser, family.tool_parser) == ("always", "olmo3", "olmo3")
    assert "hybrid" not in family.abilities


def changed(**facts: Any) -> list[dict[str, Any]]:
    return [{**SPEC, **facts}]


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"model_specs": changed(model_format="ggufv2")}, "model_specs.0.model_format", "pytorch, fp8, fp4, awq"),
        ({"model_specs": changed(model_format="mlx")}, "model_specs.0.model_format", "mlx"),
        ({"model_specs": changed(model_size_in_billions="big")}, "model_specs.0.model_size_in_billions", "big"),
        ({"model_specs": changed(model_size_in_billions=True)}, "model_specs.0.model_size_in_billions", "string"),
        ({"model_specs": changed(model_id=None)}, "model_specs.0", "model_uri"),
        ({"model_specs": changed(model_hub="modelscope")}, "model_specs.0.model_hub", "huggingface"),
        ({"model_specs": changed(model_src={"csghub": {"model_id": "a/b"}})}, "model_specs.0.model_src", "huggingface"),
        ({"model_specs": changed(model_uri="/no/such/folder")}, "model_specs.0.model_uri", "/no/such/folder"),
        ({"model_specs": changed(model_uri="s3://sea/whale")}, "model_specs.0.model_uri", "full path"),
        ({"model_specs": changed(model_uri="whale")}, "model_specs.0.model_uri", "full path"),
        ({"model_specs": []}, "model_specs", "at least 1"),
        ({"model_ability": ["embed"]}, "model_ability", "the abilities are chat, generate, tools"),
        ({"model_ability": ["chat", "rerank"]}, "model_ability.1", "'chat'"),
        ({"model_ability": "embed"}, "model_ability", "tuple"),
        ({"model_ability": []}, "model_ability", "at least 1"),
        ({"model_name": "a whale"}, "model_name", "pattern"),
        ({"model_name": "w" * 101}, "model_name", "100"),
        ({"model_name": "whale-rep1"}, "model_name", "rep"),
        ({"model_name": "instances"}, "model_name", "UID"),
        ({"context_length": 0}, "context_length", "greater than 0"),
        ({"chat_template": "whale"}, "chat_template", "neither Jinja"),
        (
            {"chat_template": "You are a helpful assistant."},
            "chat_template",
            "give Jinja text, such as the chat_template in",
        ),
        ({"chat_template": "{% if %}"}, "chat_template", "leave it out for the model's own"),
        ({"chat_template": "{{ x }}" * 20_000}, "chat_template", "longer"),
        ({"model_family": "other", "tool_parser": "glm4", "chat_template": None}, "tool_parser", "glm4"),
        ({"model_family": "other", "tool_parser": None, "chat_template": None}, "tool_parser", "model_family"),
        (
            {"model_family": "other", "chat_template": None, "reasoning_start_tag": "<hm>"},
            "reasoning_start_tag",
            "<hm>",
        ),
        ({"model_family": "other", "chat_template": None}, "reasoning_start_tag", "model_family"),
    ],
)
def test_refusals_name_the_field(changes: dict[str, Any], field: str, says: str) -> None:
    error = refusal(
        {**XINFERENCES, "tool_parser": "hermes"}, **{**changes, "model_name": changes.get("model_name", "w")}
    )
    assert (error.param, error.status) == (field, 400)
    assert error.message.startswith(f"{field}: ")
    assert says in error.message


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"specs": [{"size_in_billions": "x", "model_id": "a/b"}]}, "specs.0.size_in_billions"),
        ({"specs": [{"size_in_billions": "7", "model_id": "/no/such/folder"}]}, "specs.0.model_id"),
        ({"abilities": ["chat", "tools"]}, "model"),
        ({"model": "x"}, "model"),
        ({"name": "families"}, "name"),
    ],
)
def test_refusals_in_xinfers_format(changes: dict[str, Any], field: str) -> None:
    assert refusal(OURS, **changes).param == field


@pytest.mark.parametrize("uri", ["file://[", "file://", "/a\0b", "/" + "x" * 5000, "file:///%00", "\udfff"])
def test_what_can_be_no_folder(uri: str) -> None:
    with pytest.raises(FamilyRefused) as caught:
        read_family({**XINFERENCES, "model_specs": [{**SPEC, "model_uri": uri}]}, Catalog.load())
    assert str(caught.value.param).startswith("model_specs.0.model_uri")


@pytest.mark.parametrize("value", ["NaN", '"\\ud800"', "1e999", "9" * 5000])
def test_what_could_not_be_kept_is_not_taken(value: str) -> None:
    text = json.dumps({**OURS, "engine_args": {"seed": 1}}).replace('"seed": 1', f'"seed": {value}')
    try:
        kept = read_family(text, Catalog.load()).model_dump_json()
    except FamilyRefused:
        return
    assert Family.model_validate_json(kept)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"a": 1}', "[" * 100_000])
def test_what_is_no_family_at_all(text: str) -> None:
    with pytest.raises(FamilyRefused) as caught:
        read_family(text, Catalog.load())
    assert caught.value.param in ("model", "model_name")


def test_what_is_suggested_can_be_registered() -> None:
    suggested = suggest(str(model_path()), "tiny-chat")
    assert suggested["model_specs"][0]["model_size_in_billions"] == "0_0042"
    family = read_family(suggested, Catalog.load())
    known = Catalog.load().family("tiny-chat")
    assert (family.abilities, family.context_length) == (known.abilities, known.context_length)
    assert (family.thinking.keywords, family.reasoning_parser) == (known.thinking.keywords, known.reasoning_parser)


@pytest.mark.parametrize("path", ["whale", "sea/whale", "/no/such/folder", "/" + "x" * 5000, "/a\0b"])
def test_nothing_is_suggested_for_what_is_no_folder(path: str) -> None:
    with pytest.raises(FamilyRefused, match="model_path"):
        suggest(path)
