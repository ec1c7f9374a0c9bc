"""A family of models and its specs, as one YAML file of ``families/`` describes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt, model_validator

from xinfer.messages.model import Ability, BudgetParameter, EffortParameter, ThinkingMode, ThinkingSwitch
from xinfer.model_size import canonical_size

_SIZE_SCHEMA: dict[str, Any] = {"pattern": r"^[0-9]+([._][0-9]+)?$"}
Size = Annotated[str, AfterValidator(canonical_size), Field(json_schema_extra=_SIZE_SCHEMA)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Spec(_Record):
    """One size of a family in one format, with its quantizations."""

    size_in_billions: Size
    activated_size_in_billions: Size | None = None
    """Parameters that are active for one token, in a mixture of experts."""
    format: Name = "pytorch"
    """pytorch (plain weights), fp8, awq, gptq and so on."""
    quantizations: Annotated[tuple[str, ...] | Mapping[str, str], Field(min_length=1)] = ("none",)
    """Names for ``{quantization}`` in ``model_id``, or a hub id for each name."""
    model_id: str | None = None
    """A hub id or a folder; ``{quantization}`` in it stands for the name of the quantization."""
    revision: str | None = None
    """Branch, tag or commit on the hub; None is the main branch."""
    bundled: Literal["tiny_chat"] | None = None
    """The package of xinfer that contains the model."""

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        has_ids = isinstance(self.quantizations, Mapping)
        sources = (self.model_id is not None, self.bundled is not None, has_ids)
        if sum(sources) != 1:
            raise ValueError("expected exactly one of model_id, bundled, or quantizations with a hub id each")
        return self

    def path(self, quantization: str) -> str:
        """What the engine loads for one of ``quantizations``: a hub id or a folder."""
        if isinstance(self.quantizations, Mapping):
            return self.quantizations[quantization]
        if self.model_id is not None:
            return self.model_id.replace("{quantization}", quantization)
        # Only now: listing families must not need the weights.
        package = import_module(f"xinfer.{self.bundled}")
        return str(package.model_path())


class Effort(_Record):
    """The template's variable for how hard to think; the fields are those of ``EffortParameter``."""

    keyword: str = "reasoning_effort"
    values: Annotated[tuple[str, ...], Field(min_length=1)]
    default: str | None = None

    @model_validator(mode="after")
    def _default_is_a_value(self) -> Self:
        if self.default is not None and self.default not in self.values:
            raise ValueError(f"default: {self.default} is not among the values {', '.join(self.values)}")
        return self


class Budget(_Record):
    """The template's variable for how long to think; the fields are those of ``BudgetParameter``."""

    keyword: str = "thinking_budget"
    off: int | None = 0
    unlimited: int | None = -1


class Thinking(_Record):
    """The chat template's variables that switch thinking; the fields are those of ``ThinkingSwitch``."""

    mode: ThinkingMode = ThinkingMode.NEVER
    keywords: tuple[str, ...] = ()
    on: bool | int | str = True
    off: bool | int | str = False
    default: bool | None = None
    effort: Effort | None = None
    budget: Budget | None = None
    variables: tuple[str, ...] = ()
    """Further variables of the template for thinking, such as ``preserve_thinking``."""
    start_tag: Annotated[str, Field(min_length=1)] = "<think>"
    end_tag: Annotated[str, Field(min_length=1)] = "</think>"

    @model_validator(mode="after")
    def _switch_has_keywords(self) -> Self:
        if (self.mode is ThinkingMode.SWITCH) != bool(self.keywords):
            raise ValueError("keywords belong to mode switch, which needs at least one")
        return self

    @model_validator(mode="after")
    def _only_who_thinks_has_more_words(self) -> Self:
        if self.mode is ThinkingMode.NEVER and (self.effort or self.budget or self.variables):
            raise ValueError("effort, budget and variables belong to mode switch or always")
        return self


class Family(_Record):
    """Models that share a name, a chat template and abilities, and differ in size and format."""

    name: Name
    description: str
    abilities: Annotated[tuple[Ability, ...], Field(min_length=1)]
    languages: tuple[str, ...]
    context_length: PositiveInt
    """Longest prompt plus output, in tokens."""
    specs: Annotated[tuple[Spec, ...], Field(min_length=1)]
    """In order of preference: a launch takes the first that matches."""
    thinking: Thinking = Thinking()
    reasoning_parser: str | None = None
    """vLLM's name for the parser that splits the thinking from the response."""
    tool_parser: str | None = None
    """vLLM's name for the parser of tool calls."""
    engine_args: Mapping[str, Any] = Field(default_factory=dict)
    """Arguments of vLLM's server by their Python names; those of a launch win."""
    chat_template: Annotated[str, Field(min_length=1)] | None = None
    """Jinja text in place of the template in the model's own files."""
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    """Where a response ends, besides the tokens in the model's own files."""
    architectures: tuple[str, ...] = ()
    """The classes in the models' config.json, by which vLLM chooses its own; empty if not known."""
    configs: Mapping[Size, Mapping[str, Any]] = Field(default_factory=dict)
    """By size, the part of config.json that decides the size of the KV cache; a size may be left out."""

    @model_validator(mode="after")
    def _configs_are_of_its_sizes(self) -> Self:
        strange = self.configs.keys() - set(self.sizes)
        if strange:
            raise ValueError(f"configs: no spec has the size {', '.join(sorted(strange))}")
        return self

    @model_validator(mode="after")
    def _abilities_fit(self) -> Self:
        thinks = self.thinking.mode is not ThinkingMode.NEVER
        switches = self.thinking.mode is ThinkingMode.SWITCH
        facts: list[tuple[Ability, bool, str]] = [
            ("hybrid", switches, "thinking mode switch"),
            ("reasoning", thinks, "thinking mode switch or always"),
            ("reasoning", self.reasoning_parser is not None, "a reasoning_parser"),
            ("tools", self.tool_parser is not None, "a tool_parser"),
        ]
        for ability, true, fact in facts:
            if (ability in self.abilities) != true:
                raise ValueError(f"ability {ability} and {fact} go together: expected both or neither")
        return self

    @property
    def sizes(self) -> list[str]:
        """Each of its sizes once, in the order of preference."""
        return list(dict.fromkeys(spec.size_in_billions for spec in self.specs))

    def models(self) -> Iterator[tuple[Spec, str]]:
        """Each spec with each of its quantizations, in the order of preference."""
        for spec in self.specs:
            for quantization in spec.quantizations:
                yield spec, quantization

    def thinking_switch(self) -> ThinkingSwitch:
        """The message that launches carry, with the same fields as ``thinking``."""
        facts = self.thinking.model_dump()
        facts["effort"] = facts["effort"] and EffortParameter(**facts["effort"])
        facts["budget"] = facts["budget"] and BudgetParameter(**facts["budget"])
        return ThinkingSwitch(**facts)
