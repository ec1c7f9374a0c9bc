"""What the catalog knows of models with the same architecture, for models whose own files leave a doubt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from xinfer.catalog.catalog import Catalog
from xinfer.catalog.family import Family
from xinfer.messages.model import ThinkingMode, ThinkingSwitch

T = TypeVar("T")


def tool_parser(architecture: str | None) -> str | None:
    """vLLM's parser for tool calls, if all families of that architecture have the same."""
    return _shared(_families_with(architecture), lambda family: family.tool_parser)


def reasoning_parser(architecture: str | None) -> str | None:
    """vLLM's parser for the thinking, if all families of that architecture have the same."""
    return _shared(_families_with(architecture), lambda family: family.reasoning_parser)


def thinking(architecture: str | None) -> ThinkingSwitch:
    """The thinking of the families if all of them always think; else that of a model that never does."""
    shared = _shared(_families_with(architecture), lambda family: family.thinking)
    if shared is None or shared.mode is not ThinkingMode.ALWAYS:
        return ThinkingSwitch()
    return _families_with(architecture)[0].thinking_switch()


def _families_with(architecture: str | None) -> Sequence[Family]:
    return [family for family in Catalog.load().families.values() if architecture in family.architectures]


def _shared(families: Sequence[Family], fact: Callable[[Family], T | None]) -> T | None:
    facts = list(map(fact, families))
    # None if they differ: a wrong parser spoils every response, so none is better.
    if facts and facts.count(facts[0]) == len(facts):
        return facts[0]
    return None
