"""How families look on the wire: Xinference's shapes, with what more xinfer knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

from supervisor.api import render
from supervisor.nodes.hub_cache import local_files
from xinfer.catalog import Catalog, Family, Spec
from xinfer.messages import ThinkingMode
from xinfer.model_size import size_as_int_or_text

_HUB = "huggingface"
# Xinference's responses have sizes as its users type them: 8, and "0_6" for a fraction.
_POINT = "_"


class BriefRegistration(TypedDict):
    """A family by its name."""

    model_name: str
    is_builtin: bool


class SpecReply(TypedDict):
    """One model of a family: one size, format and quantization."""

    model_format: str
    model_size_in_billions: int | str
    activated_size_in_billions: int | str | None
    quantization: str
    model_hub: str
    model_id: str | None
    model_uri: str | None
    model_revision: str | None
    cache_status: bool


class RegistrationReply(BriefRegistration):
    """A family in full. What is there twice is there in Xinference's words and, in ``definition``, in the catalog's."""

    version: int
    model_type: str
    model_lang: list[str]
    model_ability: list[str]
    model_description: str
    model_family: str
    context_length: int
    chat_template: str | None
    stop: list[str]
    stop_token_ids: list[int]
    architectures: list[str]
    reasoning_start_tag: str | None
    reasoning_end_tag: str | None
    reasoning_parser: str | None
    tool_parser: str | None
    thinking: dict[str, Any]
    model_specs: list[SpecReply]
    download_hubs: list[str]
    definition: dict[str, Any]


class Prompt(TypedDict):
    """How a family is spoken to, as far as it differs from what the model's own files say."""

    chat_template: str | None
    stop: list[str]
    stop_token_ids: list[int]
    reasoning_start_tag: str | None
    reasoning_end_tag: str | None


class EngineSpec(TypedDict):
    """One size in one format, which an engine can run."""

    model_name: str
    model_format: str
    model_size_in_billions: int | str
    quantizations: list[str]


class VersionReply(TypedDict):
    """One model of a family, and where it is."""

    model_version: str
    model_file_location: dict[str, str] | None
    cache_status: bool
    quantization: str
    model_format: str
    model_size_in_billions: int | str


def brief(family: Family) -> BriefRegistration:
    """Its name, and whether it came with xinfer."""
    return {"model_name": family.name, "is_builtin": is_builtin(family)}


def is_builtin(family: Family) -> bool:
    """Whether it came with xinfer."""
    return Catalog.load().families.get(family.name) is family


def full(family: Family) -> RegistrationReply:
    """Everything about it. Looks at the hub's cache, so call it in a thread."""
    return {
        **brief(family),
        **prompt(family),
        "version": 2,
        "model_type": "LLM",
        "model_lang": list(family.languages),
        "model_ability": list(family.abilities),
        "model_description": family.description,
        "model_family": family.name,
        "context_length": family.context_length,
        "architectures": list(family.architectures),
        "reasoning_parser": family.reasoning_parser,
        "tool_parser": family.tool_parser,
        "thinking": family.thinking.model_dump(mode="json"),
        "model_specs": [_spec(spec, quantization) for spec, quantization in family.models()],
        "download_hubs": [_HUB],
        "definition": family.model_dump(mode="json", exclude_defaults=True),
    }


def prompt(family: Family) -> Prompt:
    """What is known of its prompts; the template is None where the model's own files have it."""
    thinks = family.thinking.mode is not ThinkingMode.NEVER
    return {
        "chat_template": family.chat_template,
        "stop": list(family.stop),
        "stop_token_ids": list(family.stop_token_ids),
        "reasoning_start_tag": family.thinking.start_tag if thinks else None,
        "reasoning_end_tag": family.thinking.end_tag if thinks else None,
    }


def engine_specs(family: Family) -> list[EngineSpec]:
    """What vLLM can run of it, which is all; quantizations of one size and format are together."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for spec, quantization in family.models():
        found.setdefault((spec.format, spec.size_in_billions), {})[quantization] = None
    return [
        {
            "model_name": family.name,
            "model_format": model_format,
            "model_size_in_billions": size_as_int_or_text(billions, _POINT),
            "quantizations": list(names),
        }
        for (model_format, billions), names in found.items()
    ]


def versions(family: Family, address: str) -> Iterator[VersionReply]:
    """Its models, and where each is on the node of this ``address``, which is this one. Blocks."""
    for spec, quantization in family.models():
        folder = local_files(spec.path(quantization), spec.revision)
        yield {
            "model_version": render.version(family.name, spec.size_in_billions, spec.format, quantization),
            "model_file_location": {address: str(folder)} if folder else None,
            "cache_status": folder is not None,
            "quantization": quantization,
            "model_format": spec.format,
            "model_size_in_billions": size_as_int_or_text(spec.size_in_billions, _POINT),
        }


def names_by_ability(families: Iterable[Family], abilities: Iterable[str]) -> dict[str, list[str]]:
    """The names of those that have each ability."""
    known = list(families)
    return {ability: [each.name for each in known if ability in each.abilities] for ability in abilities}


def _spec(spec: Spec, quantization: str) -> SpecReply:
    path = spec.path(quantization)
    is_local = path.startswith("/")
    activated = None
    if spec.activated_size_in_billions:
        activated = size_as_int_or_text(spec.activated_size_in_billions, _POINT)
    return {
        "model_format": spec.format,
        "model_size_in_billions": size_as_int_or_text(spec.size_in_billions, _POINT),
        "activated_size_in_billions": activated,
        "quantization": quantization,
        "model_hub": _HUB,
        "model_id": None if is_local else path,
        "model_uri": path if is_local else None,
        "model_revision": spec.revision,
        "cache_status": local_files(path, spec.revision) is not None,
    }
