"""Translates Xinference's JSON for a custom model into a family of the catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, get_args
from urllib.parse import unquote

from xinfer.catalog.catalog import Catalog
from xinfer.catalog.family import Family, Spec, Thinking
from xinfer.catalog.inspect import inspect_folder
from xinfer.catalog.template import ChatTemplate
from xinfer.catalog.xinference import HUB, GivenModel, GivenSpec
from xinfer.errors import FamilyRefused, LaunchRefused
from xinfer.messages.model import Ability, ThinkingMode, ThinkingSwitch

TEMPLATE_HINT = (
    "give Jinja text, such as the chat_template in tokenizer_config.json, or leave it out for the model's own"
)
_LOOK_ALIKE = "name a family that is alike in model_family"
_TOOL_PARSERS: dict[str, str | None] = {
    "qwen": "hermes",
    "llama3": "llama3_json",
    "glm4": None,
    "glm5": "glm47",
    "gemma": "gemma4",
    "minimax": "minimax_m2",
    "minimax_m3": "minimax_m3",
    "minicpm5": "minicpm5",
    "kimi-k3": "kimi_k3",
    "deepseek-r1": "deepseek_v3",
    "deepseek-v3": "deepseek_v3",
    "deepseek-v3.1": "deepseek_v31",
    "deepseek-v3.2": "deepseek_v32",
    "deepseek-v4": "deepseek_v4",
    "deepseek-v4.1": "deepseek_v41",
}
"""vLLM's parsers by Xinference's names; None where vLLM has none. Other names are vLLM's own."""

_REASONING_PARSERS = {
    "<mm:think>": "minimax_m3",
    "<seed:think>": "seed_oss",
    "<|channel>thought": "gemma4",
    "<|open|>think<|sep|>": "kimi_k3",
    "[THINK]": "mistral",
}
_USUAL_TAG = "<think>"


class _TemplateFacts(Protocol):
    """What a chat template shows about prompts: one that is given, or the one in a folder."""

    @property
    def thinking(self) -> ThinkingSwitch: ...
    @property
    def reasoning_parser(self) -> str | None: ...
    @property
    def tool_parser(self) -> str | None: ...


def translate(given: GivenModel, catalog: Catalog) -> Family:
    """The family that ``given`` means; ``FamilyRefused`` names the field that cannot be translated.

    The abilities say what the model can do. How it does so comes from the family that ``model_family`` or
    ``chat_template`` names, else from its chat template, else from the tags and the tool parser.
    """
    base = catalog.find(given.model_family or "") or catalog.find(given.chat_template or "")
    template = _template(given, base, catalog)
    # A template that is given replaces the one in the folder, which then says nothing about the prompts.
    template_facts: _TemplateFacts | None = ChatTemplate(template) if template else _of_folder(given)
    thinking = _thinking(given, base, template_facts)
    tools = None
    if "tools" in given.model_ability:
        tools = _tool_parser(given, base, template_facts)
    return Family(
        name=given.model_name,
        description=given.model_description or "",
        languages=given.model_lang,
        abilities=_abilities(given, thinking, tools),
        context_length=given.tokens,
        thinking=thinking,
        reasoning_parser=_reasoning_parser(given, base, template_facts, thinking),
        tool_parser=tools,
        chat_template=template,
        stop=given.stop or (base.stop if base else ()),
        stop_token_ids=given.stop_token_ids or (base.stop_token_ids if base else ()),
        architectures=given.architectures or (base.architectures if base else ()),
        specs=tuple(_spec(spec, f"model_specs.{number}") for number, spec in enumerate(given.model_specs)),
    )


def _template(given: GivenModel, base: Family | None, catalog: Catalog) -> str | None:
    """The text in place of the model's own template; a family's name stands for that family's."""
    text = given.chat_template
    if not text:
        if base:
            return base.chat_template
        return None
    if "{" in text:
        return text
    named = catalog.find(text)
    if named:
        return named.chat_template
    raise refused("chat_template", f"{text[:100]!r} is neither Jinja text nor the name of a family; {TEMPLATE_HINT}")


def _of_folder(given: GivenModel) -> _TemplateFacts | None:
    folder = _first_folder(given)
    if folder is None or not is_folder(folder):
        return None
    try:
        return inspect_folder(folder)
    except LaunchRefused:
        # Not in Hugging Face format, or not complete yet: a family may be registered before its files are there.
        return None


def _first_folder(given: GivenModel) -> Path | None:
    for spec in given.model_specs:
        folder = local_folder(spec.model_uri or "")
        if folder:
            return folder
    return None


def _thinking(given: GivenModel, base: Family | None, template_facts: _TemplateFacts | None) -> Thinking:
    if given.thinking:
        return given.thinking
    if not given.thinks:
        return Thinking()
    if base and base.thinking.mode is not ThinkingMode.NEVER:
        return base.thinking
    facts: dict[str, Any] = {}
    if given.reasoning_start_tag:
        facts["start_tag"] = given.reasoning_start_tag
    if given.reasoning_end_tag:
        facts["end_tag"] = given.reasoning_end_tag
    switch = template_facts.thinking if template_facts else ThinkingSwitch()
    if switch.mode is ThinkingMode.SWITCH:
        facts |= {"mode": switch.mode, "keywords": switch.keywords}
        facts |= {"on": switch.on, "off": switch.off, "default": switch.default}
    elif "hybrid" in given.model_ability and switch.mode is ThinkingMode.NEVER:
        # No known switch in the template. These are the two that Xinference sets for every hybrid model.
        facts |= {"mode": ThinkingMode.SWITCH, "keywords": ("enable_thinking", "thinking")}
    else:
        facts["mode"] = ThinkingMode.ALWAYS
    return Thinking.model_validate(facts)


def _reasoning_parser(
    given: GivenModel,
    base: Family | None,
    template_facts: _TemplateFacts | None,
    thinking: Thinking,
) -> str | None:
    if thinking.mode is ThinkingMode.NEVER:
        return None
    if given.reasoning_parser:
        return given.reasoning_parser
    if base and base.thinking == thinking:
        return base.reasoning_parser
    found = template_facts.reasoning_parser if template_facts else None
    found = found or _parser_of_tag(thinking.start_tag, thinking)
    if found is None:
        raise refused(
            "reasoning_start_tag",
            f"it is not clear how vLLM is to find thoughts after {thinking.start_tag!r}; {_LOOK_ALIKE}, "
            "or vLLM's reasoning parser in reasoning_parser",
        )
    return found


def _parser_of_tag(start_tag: str, thinking: Thinking) -> str | None:
    """vLLM's parser for thoughts after ``start_tag``; None where more than one might be right.

    Those for ``<think>`` differ in what they make of a response without any tag.
    """
    if start_tag != _USUAL_TAG:
        return _REASONING_PARSERS.get(start_tag)
    if thinking.mode is ThinkingMode.ALWAYS:
        return "deepseek_r1"
    if thinking.default is False:
        return "deepseek_v3"
    if thinking.default and "enable_thinking" in thinking.keywords:
        return "qwen3"
    return None


def _tool_parser(given: GivenModel, base: Family | None, template_facts: _TemplateFacts | None) -> str:
    name = given.tool_parser
    if name and name not in _TOOL_PARSERS:
        # One of vLLM's own names. The engine checks it, as the parsers differ between versions of vLLM.
        return name
    found = base.tool_parser if base else None
    if found is None and name:
        found = _TOOL_PARSERS[name]
    elif found is None and template_facts:
        found = template_facts.tool_parser
    if found is None:
        if name:
            what = f"vLLM cannot read the tool calls of {name!r}"
        else:
            what = "it is not clear how the model calls tools"
        raise refused("tool_parser", f"{what}; {_LOOK_ALIKE}, or vLLM's tool parser here")
    return found


def _abilities(given: GivenModel, thinking: Thinking, tool_parser: str | None) -> tuple[Ability, ...]:
    facts = {
        "tools": tool_parser is not None,
        "reasoning": thinking.mode is not ThinkingMode.NEVER,
        "hybrid": thinking.mode is ThinkingMode.SWITCH,
    }
    abilities: list[Ability] = []
    for ability in get_args(Ability):
        # A family's abilities go with its parsers and its switch, so these three follow from what was found.
        has_ability = facts.get(ability, ability in given.model_ability)
        if has_ability:
            abilities.append(ability)
    return tuple(abilities)


def _spec(given: GivenSpec, where: str) -> Spec:
    names = given.names
    model_id = given.model_id
    revision = given.model_revision
    if given.model_uri:
        folder = local_folder(given.model_uri)
        if folder is None:
            raise refused(f"{where}.model_uri", "expected the full path of a folder, or file:// and that")
        model_id = str(folder)
        revision = None
    elif given.model_src:
        if HUB not in given.model_src:
            raise refused(f"{where}.model_src", f"xinfer downloads from {HUB}, and there is no such entry")
        source = given.model_src[HUB]
        names = source.quantizations
        model_id = source.model_id
        revision = source.model_revision
    elif given.model_hub not in (None, HUB):
        why = f"xinfer downloads from {HUB}; for another hub's files give their folder in model_uri"
        raise refused(f"{where}.model_hub", why)
    return Spec(
        size_in_billions=given.model_size_in_billions,
        activated_size_in_billions=given.activated_size_in_billions,
        format=given.model_format,
        quantizations=names,
        model_id=model_id,
        revision=revision,
    )


def local_folder(uri: str) -> Path | None:
    """The folder of an absolute path or a ``file://`` URI, existing or not; None for anything else."""
    if uri.startswith("file://"):
        path = unquote(uri.removeprefix("file://").removeprefix("localhost"))
    else:
        path = uri
    if path.startswith("/"):
        return Path(path)
    return None


def is_folder(path: Path) -> bool:
    """Whether the folder exists and can be read."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        # Not only a missing permission: names may be too long for the system, or hold a null byte.
        return False


def refused(field: str, why: str) -> FamilyRefused:
    """The error that names ``field`` and says why its value is refused."""
    return FamilyRefused(f"{field}: {why}.", param=field)
