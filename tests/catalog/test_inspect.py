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
from xinfer.messages import BudgetParameter, ThinkingMode, ThinkingSwitch

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


MINIMAX_M3 = ThinkingSwitch(
    ThinkingMode.SWITCH, ("thinking_mode",), "enabled", "disabled", start_tag="<mm:think>", end_tag="</mm:think>"
)
SEED_OSS = ThinkingSwitch(
    ThinkingMode.SWITCH,
    ("thinking_budget",),
    *(-1, 0, True),
    budget=BudgetParameter("thinking_budget"),
    start_tag="<seed:think>",
    end_tag="</seed:think>",
)


@pytest.mark.parametrize(
    ("template", "switch", "parser"),
    [
        (samples.PLAIN, ThinkingSwitch(), None),
        (
            samples.DEEPSEEK_V31,
            ThinkingSwitch(ThinkingMode.SWITCH, ("thinking",), True, False, default=False),
            "deepseek_v3",
        ),
        (samples.KIMI_K25, ThinkingSwitch(ThinkingMode.SWITCH, ("thinking",), True, False, default=True), None),
        (samples.BAICHUAN_M2, ThinkingSwitch(ThinkingMode.SWITCH, ("thinking_mode",), "on", "off"), None),
        (samples.MINIMAX_M3, MINIMAX_M3, None),
        (samples.SEED_OSS, SEED_OSS, None),
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


GLM_CALL = r"{{ '<tool_call>{function-name}%s<arg_key>{arg-key}</arg_key>\n</tool_call>' }}"
DEEPSEEK_CALL = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>"


@pytest.mark.parametrize(
    ("manner", "parser"),
    [
        ("{{ '[TOOL_CALLS]' + call | tojson }}", "mistral"),
        (
            '<|python_tag|> {{ \'{"name": function name, "parameters": dictionary of argument name and its value}\' }}',
            "llama3_json",
        ),
        (DEEPSEEK_CALL + "function<｜tool▁sep｜>name\n```json\n{}\n```", "deepseek_v3"),
        (DEEPSEEK_CALL + "name<｜tool▁sep｜>{}", "deepseek_v31"),
        ("<|tool_calls_section_begin|><|tool_call_begin|>", "kimi_k2"),
        ("<minimax:tool_call><invoke name=", "minimax_m2"),
        ("<seed:tool_call><function=name><parameter=key>", "seed_oss"),
        ("<|start|>assistant to=functions.name<|channel|>commentary json", "openai"),
        (GLM_CALL % r"\n", "glm45"),
        (GLM_CALL % "", "glm47"),
        ("[TOOL_CALLS] <minimax:tool_call>", None),
        ("<my_call>{{ call }}</my_call>", None),
    ],
)
def test_manners_of_calls_and_their_parsers(make_model: MakeModel, manner: str, parser: str | None) -> None:
    traits = inspect_folder(make_model(template="{% if tools %}" + manner + "{% endif %}" + samples.PLAIN))
    assert "tools" in traits.abilities
    assert traits.tool_parser == parser
    assert inspect_folder(make_model(template=manner + samples.PLAIN)).tool_parser is None, "it reads no tools"


@pytest.mark.parametrize(
    ("architecture", "parsers"),
    [
        ("SeedOssForCausalLM", ("seed_oss", "seed_oss")),
        ("MiniMaxM2ForCausalLM", ("minimax_m2", "minimax_m2")),
        ("Gemma4ForConditionalGeneration", ("gemma4", "gemma4")),
        ("LlamaForCausalLM", (None, None)),  # families differ
        ("SomebodysForCausalLM", (None, None)),
    ],
)
def test_where_the_template_leaves_a_doubt_the_catalog_s_families_of_its_kind_tell(
    make_model: MakeModel, architecture: str, parsers: tuple[str | None, str | None]
) -> None:
    odd = "{% if tools %}odd{% endif %}" + samples.PLAIN + "{% if thinking_mode == 'on' %}hm{% endif %}"
    traits = inspect_folder(make_model({"architectures": [architecture]}, template=odd))
    assert (traits.reasoning_parser, traits.tool_parser) == parsers
    plain = inspect_folder(make_model({"architectures": [architecture]}, template=samples.PLAIN))
    assert plain.tool_parser is None


def test_a_template_wins_over_what_the_catalog_says_of_its_kind(make_model: MakeModel) -> None:
    config = {"architectures": ["SeedOssForCausalLM"]}
    traits = inspect_folder(make_model(config, template=samples.QWEN3))
    assert (traits.reasoning_parser, traits.tool_parser) == ("qwen3", "hermes")


def test_thoughts_in_channels_show_by_the_architecture(make_model: MakeModel) -> None:
    channels = "{% if reasoning_effort %}Reasoning: {{ reasoning_effort }}{% endif %}" + samples.PLAIN
    traits = inspect_folder(make_model({"architectures": ["GptOssForCausalLM"]}, template=channels))
    assert traits.thinking.mode is ThinkingMode.ALWAYS
    assert traits.thinking.effort is not None
    assert traits.reasoning_parser == "openai_gptoss"
    assert {"reasoning"} == {"reasoning", "hybrid"} & set(traits.abilities)
    assert "reasoning" not in inspect_folder(make_model(template=channels)).abilities


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
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text(samples.QWEN3, encoding="utf-8")
    assert "tools" in inspect_folder(folder).abilities


@pytest.mark.parametrize(
    "named", [[], [{"name": "rag", "template": samples.QWEN3}], [{"name": "default"}], ["default"], 7]
)
def test_templates_that_no_request_would_get_are_none(make_model: MakeModel, named: Any) -> None:
    assert inspect_folder(make_model(chat_template=named)).abilities == ("generate",)


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
        ({"llm_config": {"max_position_embeddings": 4096}}, 4096),
        ({"thinker_config": {"text_config": {"max_position_embeddings": 8192}}}, 8192),
        ({}, None),
    ],
)
def test_the_context_is_what_the_config_says(make_model: MakeModel, config: Any, length: int | None) -> None:
    assert inspect_folder(make_model(config)).context_length == length


@pytest.mark.parametrize(
    ("parts", "abilities"),
    [
        ({}, set()),
        ({"vision_config": None}, set()),
        ({"vision_config": {}}, {"vision"}),
        ({"audio_config": {}}, {"audio"}),
        ({"vision_config": {}, "audio_config": {}}, {"vision", "audio"}),
        ({"visual": {}}, {"vision"}),
        ({"img_processor": {}, "audio_processor": {}}, {"vision", "audio"}),
        ({"thinker_config": {"vision_config": {}, "audio_config": {}}}, {"vision", "audio", "omni"}),
    ],
)
def test_pictures_and_sound_show_in_the_config(make_model: MakeModel, parts: Any, abilities: set[str]) -> None:
    found = set(inspect_folder(make_model(CONFIG | parts, template=samples.PLAIN)).abilities)
    assert found == {"chat", "generate", *abilities}


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
