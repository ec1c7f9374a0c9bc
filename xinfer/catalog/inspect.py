"""What a model outside the catalog can do, read from its own files. All functions block on disk or network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xinfer.catalog import similar_families
from xinfer.catalog.config_names import text_config
from xinfer.catalog.template import ChatTemplate
from xinfer.errors import LaunchRefused
from xinfer.messages.model import Ability, ThinkingMode, ThinkingSwitch

_TOOL_TEMPLATE = "additional_chat_templates/tool_use.jinja"
SMALL_FILES = [
    "config.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
    _TOOL_TEMPLATE,
]
_THINKER = "thinker_config"
_VISION_PARTS = ("vision_config", "visual", "mm_vision_tower", "img_processor")
_AUDIO_PARTS = ("audio_config", "audio_processor")
_CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length")


@dataclass(frozen=True, slots=True)
class Traits:
    """Facts that are read from a model's files."""

    architecture: str | None
    context_length: int | None
    abilities: tuple[Ability, ...]
    thinking: ThinkingSwitch = field(default_factory=ThinkingSwitch)
    reasoning_parser: str | None = None
    """vLLM's name; None also if it is not certain."""
    tool_parser: str | None = None


def inspect_path(path: str, revision: str | None = None, env: Mapping[str, str] | None = None) -> Traits:
    """The traits of a folder if ``path`` is one, else of the hub id ``path``; LaunchRefused if it is neither.

    ``env`` holds the launch's own variables for the hub: HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE.
    """
    try:
        folder = Path(path).expanduser()
        is_folder = folder.is_dir()
        is_file = folder.is_file()
    except (OSError, RuntimeError, ValueError) as err:  # no such user, no permission, no possible name
        raise _refused(f"There is no such folder, or it cannot be read: {path}") from err
    if is_folder:
        return inspect_folder(folder, name=path)
    if is_file:
        raise _refused(f"{path} is a file; expected a model's folder or a hub id")
    if path.startswith(("/", "./", "../", "~")):
        raise _refused(f"There is no such folder: {path}")
    return inspect_hub(path, revision, env)


def inspect_folder(path: Path, *, name: str | None = None) -> Traits:
    """The traits of a model in a folder, called ``name`` in errors; LaunchRefused if its files cannot be read."""
    name = name or str(path)
    config = _read_json(path / "config.json", name)
    if config is None:
        raise _refused(f"{name} has no config.json; expected a folder in Hugging Face format")
    tokenizer_config = _read_json(path / "tokenizer_config.json", name) or {}
    context_length = _context_length(config) or _context_length_of_tokenizer(tokenizer_config)
    architecture = next(iter(config.get("architectures") or ()), None)
    template = _main_template(path, tokenizer_config, name)
    if template is None:
        return Traits(architecture, context_length, ("generate",))
    thinking = template.thinking
    if thinking.mode is ThinkingMode.NEVER:
        # The model may think in channels of its own rather than in tags, as gpt-oss does.
        thinking = similar_families.thinking(architecture)
    uses_tools = template.reads("tools")
    reasoning_parser: str | None = None
    if thinking.mode is not ThinkingMode.NEVER:
        reasoning_parser = template.reasoning_parser or similar_families.reasoning_parser(architecture)
    tool_parser: str | None = None
    if uses_tools:
        tool_parser = template.tool_parser or similar_families.tool_parser(architecture)
    abilities = _abilities(config, thinking, uses_tools=uses_tools)
    return Traits(architecture, context_length, abilities, thinking, reasoning_parser, tool_parser)


def _abilities(
    config: Mapping[str, Any],
    thinking: ThinkingSwitch,
    *,
    uses_tools: bool,
) -> tuple[Ability, ...]:
    """The abilities of a model with a chat template."""
    abilities: list[Ability] = ["chat", "generate"]
    if uses_tools:
        abilities.append("tools")
    if _has_part(config, _VISION_PARTS):
        abilities.append("vision")
    if _has_part(config, _AUDIO_PARTS):
        abilities.append("audio")
    if _THINKER in config:
        abilities.append("omni")
    if thinking.mode is not ThinkingMode.NEVER:
        abilities.append("reasoning")
    if thinking.mode is ThinkingMode.SWITCH:
        abilities.append("hybrid")
    return tuple(abilities)


def inspect_hub(model_id: str, revision: str | None = None, env: Mapping[str, str] | None = None) -> Traits:
    """The traits of a model on the Hugging Face hub, from its small files or, offline, from the cache."""
    # Slow to import, and needed only here.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        hub = _hub_of(env or {})
        folder = snapshot_download(model_id, revision=revision, allow_patterns=SMALL_FILES, **hub)
    except HFValidationError as err:
        raise _refused(f"{model_id} is neither a folder here nor a hub id such as Qwen/Qwen3-8B") from err
    except GatedRepoError as err:
        raise _refused(f"{model_id} is gated: accept its terms on the hub and set HF_TOKEN") from err
    except RevisionNotFoundError as err:
        raise _refused(f"{model_id} has no revision {revision}") from err
    except RepositoryNotFoundError as err:
        raise _refused(f"{model_id} is not on the hub: check the id, or set HF_TOKEN if it is private") from err
    except LocalEntryNotFoundError as err:
        raise _refused(f"{model_id} is not in the cache and the hub cannot be reached: give a folder instead") from err
    except Exception as err:
        # Proxies, TLS and servers fail with errors of whichever HTTP library the hub's client uses.
        raise _refused(f"The hub did not give {model_id} ({type(err).__name__}): try again or give a folder") from err
    return inspect_folder(Path(folder), name=model_id)


def _hub_of(env: Mapping[str, str]) -> dict[str, Any]:
    """Keywords of ``snapshot_download``; huggingface_hub itself reads only the variables of this process."""
    keywords: dict[str, Any] = {}
    if env.get("HF_ENDPOINT"):
        keywords["endpoint"] = env["HF_ENDPOINT"]
    if env.get("HF_TOKEN"):
        keywords["token"] = env["HF_TOKEN"]
    if env.get("HF_HUB_CACHE"):
        keywords["cache_dir"] = env["HF_HUB_CACHE"]
    elif env.get("HF_HOME"):
        keywords["cache_dir"] = f"{env['HF_HOME']}/hub"
    return keywords


def _main_template(folder: Path, tokenizer_config: Mapping[str, Any], name: str) -> ChatTemplate | None:
    """The template for requests with tools; one in a file of its own wins over the tokenizer's config."""
    own = folder / "chat_template.jinja"
    if own.is_file():
        # transformers, too, prefers it for requests with tools.
        for_tools = folder / _TOOL_TEMPLATE
        file = for_tools if for_tools.is_file() else own
        return ChatTemplate(_read_text(file, name))
    in_json = _read_json(folder / "chat_template.json", name) or {}
    found = in_json.get("chat_template") or tokenizer_config.get("chat_template")
    if isinstance(found, list):
        found = _named_template(found)
    if isinstance(found, str):
        return ChatTemplate(found)
    return None


def _named_template(templates: list[Any]) -> object:
    """The template for tools among several with names, else the default one."""
    by_name: dict[Any, object] = {}
    for each in templates:
        if isinstance(each, dict):
            by_name[each.get("name")] = each.get("template")
    return by_name.get("tool_use") or by_name.get("default")


def _has_part(config: Mapping[str, Any], names: Iterable[str]) -> bool:
    """Whether the model, or the part of it that generates text, has a part with one of these names."""
    inner = config.get(_THINKER)
    for name in names:
        if config.get(name) is not None:
            return True
        # Omni models have the parts for images and sound inside the one that generates text.
        if isinstance(inner, dict) and inner.get(name) is not None:
            return True
    return False


def _context_length(config: Mapping[str, Any]) -> int | None:
    text = text_config(config)
    lengths = [text[key] for key in _CONTEXT_KEYS if isinstance(text.get(key), int)]
    rope = text.get("rope_scaling") or text.get("rope_parameters") or {}
    if isinstance(rope, dict) and "yarn" in (rope.get("type"), rope.get("rope_type")):
        original = rope.get("original_max_position_embeddings") or min(lengths, default=0)
        factor = rope.get("factor")
        if isinstance(original, int) and isinstance(factor, int | float) and original * factor > 0:
            return int(original * factor)
    return min(lengths, default=None)


def _context_length_of_tokenizer(tokenizer_config: Mapping[str, Any]) -> int | None:
    length = tokenizer_config.get("model_max_length")
    # Transformers writes 10**30 for "unknown".
    if isinstance(length, int) and length < 10**8:
        return length
    return None


def _read_json(file: Path, name: str) -> dict[str, Any] | None:
    if not file.is_file():
        return None
    try:
        content = json.loads(_read_text(file, name))
    except (ValueError, RecursionError) as err:
        raise _refused(f"{file.name} of {name} is not JSON") from err
    if not isinstance(content, dict):
        raise _refused(f"{file.name} of {name} is not a JSON object")
    return content


def _read_text(file: Path, name: str) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError as err:
        raise _refused(f"{file.name} of {name} cannot be read") from err


def _refused(message: str) -> LaunchRefused:
    return LaunchRefused(f"{message}.", param="model_path")
