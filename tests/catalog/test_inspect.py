"""A model that is in no catalog, told by its files."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import huggingface_hub
import pytest
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.catalog import samples
from xinfer.catalog import inspect_folder, inspect_hub, inspect_path
from xinfer.errors import LaunchRefused
from xinfer.messages import ThinkingMode, ThinkingSwitch

CONFIG = {"architectures": ["Qwen3ForCausalLM"], "max_position_embeddings": 40960}
MakeModel = Callable[..., Path]


def told_by_the_hub(kind: type[HfHubHTTPError]) -> HfHubHTTPError:
    return kind("no", response=Mock())


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    def make(config: Any = CONFIG, *, template: str | None = None, **tokenizer_config: Any) -> Path:
        (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(tokenizer_config), encoding="utf-8")
        if template is not None:
            (tmp_path / "chat_template.jinja").write_text(template, encoding="utf-8")
        return tmp_path

    return make


def test_a_hybrid_model_with_tools(make_model: MakeModel) -> None:
    traits = inspect_folder(make_model(template=samples.QWEN3))
    assert traits.architecture == "Qwen3ForCausalLM"
    assert traits.context_length == 40960
    assert traits.abilities == ("chat", "generate", "tools", "reasoning", "hybrid")
    assert traits.thinking == ThinkingSwitch(ThinkingMode.SWITCH, ("enable_thinking",), True, False, default=True)
    assert (traits.reasoning_parser, traits.tool_parser) == ("qwen3", "hermes")


def test_a_model_without_a_template_only_generates(make_model: MakeModel) -> None:
    traits = inspect_folder(make_model())
    assert traits.abilities == ("generate",)
    assert traits.thinking.mode is ThinkingMode.NEVER


@pytest.mark.parametrize(
    ("template", "switch", "parser"),
    [
        (samples.PLAIN, ThinkingSwitch(), None),
        (samples.DEEPSEEK_V31, ThinkingSwitch(ThinkingMode.SWITCH, ("thinking",), True, False, default=False), None),
        (samples.KIMI_K25, ThinkingSwitch(ThinkingMode.SWITCH, ("thinking",), True, False, default=True), None),
        (samples.BAICHUAN_M2, ThinkingSwitch(ThinkingMode.SWITCH, ("thinking_mode",), "on", "off"), None),
        (samples.MINIMAX_M3, ThinkingSwitch(ThinkingMode.SWITCH, ("thinking_mode",), "enabled", "disabled"), None),
        (samples.SEED_OSS, ThinkingSwitch(ThinkingMode.SWITCH, ("thinking_budget",), -1, 0, default=True), None),
        (samples.GEMMA_4, ThinkingSwitch(ThinkingMode.SWITCH, ("enable_thinking",), True, False, default=False), None),
        (samples.DEEPSEEK_R1, ThinkingSwitch(ThinkingMode.ALWAYS), "deepseek_r1"),
        (samples.REFUSES_OFF, ThinkingSwitch(ThinkingMode.ALWAYS), "deepseek_r1"),
    ],
    ids=["plain", "deepseek-v3.1", "kimi", "baichuan", "minimax", "seed", "gemma", "deepseek-r1", "refuses-off"],
)
def test_how_it_is_told_to_think(
    make_model: MakeModel, template: str, switch: ThinkingSwitch, parser: str | None
) -> None:
    traits = inspect_folder(make_model(template=template))
    assert traits.thinking == switch
    assert traits.reasoning_parser == parser
    assert ("reasoning" in traits.abilities) == (switch.mode is not ThinkingMode.NEVER)
    assert ("hybrid" in traits.abilities) == (switch.mode is ThinkingMode.SWITCH)


@pytest.mark.parametrize(
    ("template", "parser"),
    [
        (samples.HERMES_TOOLS + samples.PLAIN, "hermes"),
        (samples.XML_TOOLS + samples.PLAIN, "qwen3_coder"),
        (samples.GLM_TOOLS + samples.PLAIN, None),
    ],
)
def test_a_tool_parser_is_named_only_where_it_is_sure(make_model: MakeModel, template: str, parser: str | None) -> None:
    traits = inspect_folder(make_model(template=template))
    assert "tools" in traits.abilities
    assert traits.tool_parser == parser


def test_where_a_template_may_stand(make_model: MakeModel) -> None:
    in_config = inspect_folder(make_model(chat_template=samples.PLAIN))
    assert in_config.abilities == ("chat", "generate")
    named = [{"name": "default", "template": samples.PLAIN}, {"name": "tool_use", "template": samples.QWEN3}]
    assert "tools" in inspect_folder(make_model(chat_template=named)).abilities
    assert "tools" not in inspect_folder(make_model(chat_template=named[:1])).abilities
    folder = make_model()
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": samples.QWEN3}), encoding="utf-8")
    assert "tools" in inspect_folder(folder).abilities
    assert "tools" not in inspect_folder(make_model(template=samples.PLAIN)).abilities  # a file of its own wins


def test_a_template_that_is_not_plain_jinja_is_searched(make_model: MakeModel) -> None:
    odd = "{% mystery %}{% if enable_thinking %}<think>{% endif %} thinking {{ tools }}"
    traits = inspect_folder(make_model(template=odd))
    assert {"tools", "hybrid"} <= set(traits.abilities)
    assert traits.thinking.keywords == ("enable_thinking",)


def test_markers_for_training_do_not_hide_a_switch(make_model: MakeModel) -> None:
    marked = "{%- generation %}a{%- endgeneration %}" + samples.QWEN3
    assert inspect_folder(make_model(template=marked)).thinking.default is True


@pytest.mark.parametrize(
    ("config", "length"),
    [
        ({"n_positions": 1024}, 1024),
        ({"text_config": {"max_position_embeddings": 2048}}, 2048),
        ({"max_position_embeddings": 32768, "rope_scaling": {"type": "yarn", "factor": 4.0}}, 131072),
        ({"max_position_embeddings": 131072, "rope_parameters": {"rope_type": "llama3", "factor": 8.0}}, 131072),
        ({}, None),
    ],
)
def test_the_context_is_what_the_config_says(make_model: MakeModel, config: Any, length: int | None) -> None:
    assert inspect_folder(make_model(config)).context_length == length


def test_pictures_and_sound_show_in_the_config(make_model: MakeModel) -> None:
    config = CONFIG | {"vision_config": {}, "audio_config": {}}
    assert {"vision", "audio"} <= set(inspect_folder(make_model(config, template=samples.PLAIN)).abilities)


def test_a_folder_that_cannot_be_a_model_is_refused(tmp_path: Path, make_model: MakeModel) -> None:
    with pytest.raises(LaunchRefused, match=r"has no config.json"):
        inspect_folder(tmp_path)
    folder = make_model()
    (folder / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(LaunchRefused, match=r"config.json of mine is not JSON"):
        inspect_folder(folder, name="mine")
    (folder / "config.json").write_text("[]", encoding="utf-8")
    with pytest.raises(LaunchRefused, match="not a JSON object"):
        inspect_folder(folder)


def test_a_path_is_a_folder_if_it_looks_or_is_like_one(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = make_model()
    assert inspect_path(str(folder)).architecture == "Qwen3ForCausalLM"
    monkeypatch.chdir(folder.parent)
    assert inspect_path(folder.name).architecture == "Qwen3ForCausalLM"
    with pytest.raises(LaunchRefused, match="is a file"):
        inspect_path(str(folder / "config.json"))
    for path in (str(tmp_path / "nowhere"), "./nowhere", "../nowhere", "~/no/such/where"):
        with pytest.raises(LaunchRefused, match="no such folder: "):
            inspect_path(path)
    for path in ("~nobody-of-this-name/model", "/" + "long" * 2000):
        with pytest.raises(LaunchRefused, match="no such folder"):
            inspect_path(path)


def test_the_hub_gives_its_small_files_only(make_model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_model(template=samples.QWEN3)
    asked: dict[str, Any] = {}

    def download(model_id: str, **options: Any) -> str:
        asked.update(options, model_id=model_id)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert "hybrid" in inspect_path("someone/model", "v1").abilities
    assert (asked["model_id"], asked["revision"]) == ("someone/model", "v1")
    assert not any("safetensors" in pattern for pattern in asked["allow_patterns"])


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (LocalEntryNotFoundError("offline"), "give a folder instead"),
        (told_by_the_hub(GatedRepoError), "gated: accept its terms on the hub and set HF_TOKEN"),
        (told_by_the_hub(RepositoryNotFoundError), "check the id, or set HF_TOKEN"),
        (told_by_the_hub(RevisionNotFoundError), "has no revision v1"),
        (RuntimeError("secret words of a proxy"), r"\(RuntimeError\): try again or give a folder"),
    ],
)
def test_the_hub_may_not_know_or_not_answer(monkeypatch: pytest.MonkeyPatch, error: Exception, words: str) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(LaunchRefused, match=words) as caught:
        inspect_hub("someone/model", "v1")
    assert "secret" not in caught.value.message


def test_a_name_that_no_hub_id_can_have_is_refused_at_once() -> None:
    with pytest.raises(LaunchRefused, match="neither a folder here nor a hub id"):
        inspect_hub("not a/hub/id")


def test_the_hub_offline_gives_what_is_cached_and_else_refuses(tmp_path: Path) -> None:
    code = "from xinfer.catalog import inspect_hub; inspect_hub('someone/model')"
    env = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=60, check=False
    )
    assert "LaunchRefused: someone/model is not in the cache" in done.stderr


def test_importing_the_catalog_loads_neither_the_hub_nor_an_engine() -> None:
    code = "import sys, xinfer.catalog; print({'huggingface_hub', 'ray', 'vllm', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"
