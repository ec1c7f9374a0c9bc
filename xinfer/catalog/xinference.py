"""Xinference's JSON for a custom model. Fields without use for vLLM are ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, model_validator

from xinfer.catalog.family import Name, Thinking
from xinfer.messages.model import Ability
from xinfer.model_size import canonical_size

FORMATS = ("pytorch", "fp8", "fp4", "awq", "gptq", "bnb")
HUB = "huggingface"
# Xinference's default.
_CONTEXT_LENGTH = 2048
_EMBED = "embed"


def _known_format(name: str) -> str:
    if name not in FORMATS:
        raise ValueError(f"{name[:50]!r} does not run on vLLM; the formats are {', '.join(FORMATS)}")
    return name


def _size(value: object) -> object:
    # Xinference takes both numbers and strings. For anything else pydantic's error is the better one.
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return canonical_size(value)
    return value


Size = Annotated[str, BeforeValidator(_size)]


def _without_embed(names: object) -> object:
    # Xinference's own examples have it beside others; of a language model it means nothing to vLLM's chats and completions.
    if not isinstance(names, list | tuple) or _EMBED not in names:
        return names
    others = [name for name in names if name != _EMBED]
    if not others:
        known = ", ".join(get_args(Ability))
        raise ValueError(f"xinfer serves no embeddings, so {_EMBED!r} alone says nothing; the abilities are {known}")
    return others


Abilities = Annotated[tuple[Ability, ...], BeforeValidator(_without_embed), Field(min_length=1)]


class _Given(BaseModel):
    model_config = ConfigDict(frozen=True, protected_namespaces=())


class GivenSource(_Given):
    """The model of a spec on one hub."""

    model_id: str
    quantizations: Annotated[tuple[str, ...], Field(min_length=1)] = ("none",)
    model_revision: str | None = None


class GivenSpec(_Given):
    """One size in one format: in a folder (``model_uri``), on a hub (``model_id``) or on several (``model_src``)."""

    model_format: Annotated[str, AfterValidator(_known_format)]
    model_size_in_billions: Size
    activated_size_in_billions: Size | None = None
    quantization: str | None = None
    quantizations: tuple[str, ...] | None = None
    model_uri: str | None = None
    model_id: str | None = None
    model_hub: str | None = None
    model_revision: str | None = None
    model_src: Mapping[str, GivenSource] | None = None

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        if not (self.model_uri or self.model_id or self.model_src):
            raise ValueError("expected one of model_uri (a folder), model_id (on the hub) and model_src")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        return self.quantizations or (self.quantization or "none",)


class GivenModel(_Given):
    """One custom model. ``thinking`` and ``reasoning_parser`` are fields that Xinference does not have."""

    model_name: Name
    model_specs: Annotated[tuple[GivenSpec, ...], Field(min_length=1)]
    model_ability: Abilities
    model_lang: tuple[str, ...] = ()
    model_description: str | None = None
    model_family: str | None = None
    context_length: PositiveInt | None = _CONTEXT_LENGTH
    chat_template: str | None = None
    stop: tuple[str, ...] | None = None
    stop_token_ids: tuple[int, ...] | None = None
    architectures: tuple[str, ...] | None = None
    reasoning_start_tag: str | None = None
    reasoning_end_tag: str | None = None
    reasoning_parser: str | None = None
    tool_parser: str | None = None
    thinking: Thinking | None = None

    @property
    def tokens(self) -> int:
        return self.context_length or _CONTEXT_LENGTH

    @property
    def thinks(self) -> bool:
        return bool({"reasoning", "hybrid"} & set(self.model_ability))
