"""What families say of vLLM, held against vLLM's own tables. Those are read as source: importing them would load torch."""

import ast
import importlib.util
import json
from pathlib import Path

import pytest

from xinfer.catalog import Catalog, Family
from xinfer.catalog.kv_cache import kv_cache_of

FAMILIES = list(Catalog.load().families.values())
MODELS = "model_executor/models/registry.py"


def names_in(file: str, table: str) -> set[str]:
    """The keys of the dict of that name in one of vLLM's files."""
    vllm = importlib.util.find_spec("vllm")
    assert vllm is not None
    assert vllm.origin is not None
    tree = ast.parse((Path(vllm.origin).parent / file).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == table and isinstance(node.value, ast.Dict):
            return {key.value for key in node.value.keys if isinstance(key, ast.Constant)}
    raise AssertionError(f"{file} has no {table}")


def test_parsers_are_registered() -> None:
    reasoning = names_in("reasoning/__init__.py", "_REASONING_PARSERS_TO_REGISTER")
    tools = names_in("tool_parsers/__init__.py", "_TOOL_PARSERS_TO_REGISTER")
    assert {family.reasoning_parser for family in FAMILIES} - {None} <= reasoning
    assert {family.tool_parser for family in FAMILIES} - {None} <= tools


def test_architectures_are_supported() -> None:
    supported = (
        names_in(MODELS, "_TEXT_GENERATION_MODELS")
        | names_in(MODELS, "_MULTIMODAL_MODELS")
        | names_in(MODELS, "_TRANSFORMERS_SUPPORTED_MODELS")
    )
    assert {family.name for family in FAMILIES if not family.architectures} == set()
    assert {name for family in FAMILIES for name in family.architectures} <= supported


def test_families_that_see_or_hear_have_architectures_that_do() -> None:
    multimodal = names_in(MODELS, "_MULTIMODAL_MODELS")
    able = {family.name for family in FAMILIES if {"vision", "audio"} & set(family.abilities)}
    assert able == {family.name for family in FAMILIES if set(family.architectures) & multimodal}


def test_tokenizer_modes_are_known() -> None:
    known = names_in("tokenizers/registry.py", "_VLLM_TOKENIZERS")
    assert {family.engine_args.get("tokenizer_mode", "hf") for family in FAMILIES} <= known


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_configs_tell_the_size_of_the_kv_cache(family: Family) -> None:
    for size, config in family.configs.items():
        cache = kv_cache_of(config)
        assert cache.unknown == (), size
        assert 0 < cache.bytes(1) < 4 * 1024 * 1024, size


def test_the_bundled_models_config_says_what_its_family_says() -> None:
    family = Catalog.load().family("tiny-chat")
    config = json.loads((Path(family.specs[0].path("none")) / "config.json").read_text(encoding="utf-8"))
    assert tuple(config["architectures"]) == family.architectures
    told = family.configs["0.004"]
    assert told == {name: config[name] for name in told}
    assert kv_cache_of(told).bytes(1) == kv_cache_of(config).bytes(1)
