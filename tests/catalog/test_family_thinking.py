"""How families are told to think, tried on templates of their manner."""

from pathlib import Path

import pytest

from tests.catalog import samples
from xinfer.catalog import Catalog, Family
from xinfer.catalog.template import ChatTemplate
from xinfer.messages import ThinkingMode

FAMILIES = list(Catalog.load().families.values())
SWITCHED = [family for family in FAMILIES if family.thinking.mode is ThinkingMode.SWITCH]
WITH_EFFORT = [family for family in FAMILIES if family.thinking.effort is not None]
WITH_MORE_WORDS = [family for family in FAMILIES if family.thinking.variables]


def template_of(family: Family) -> ChatTemplate:
    return ChatTemplate(samples.OF_FAMILY.get(family.name, samples.QWEN3))


def told_nothing(family: Family) -> str | None:
    """The prompt of a request without a word about thinking, as an engine writes it that was started for the family."""
    return template_of(family).prompt(**family.engine_args.get("default_chat_template_kwargs", {}))


@pytest.mark.parametrize("family", SWITCHED, ids=lambda family: family.name)
def test_the_switch_flips_a_template_of_the_familys_manner(family: Family) -> None:
    template, thinking = template_of(family), family.thinking
    on = template.prompt(**dict.fromkeys(thinking.keywords, thinking.on))
    off = template.prompt(**dict.fromkeys(thinking.keywords, thinking.off))
    assert on is not None
    assert off is not None
    assert on != off
    if thinking.default is None:
        assert told_nothing(family) not in (on, off)
    else:
        assert told_nothing(family) == (on if thinking.default else off)


@pytest.mark.parametrize("family", SWITCHED, ids=lambda family: family.name)
def test_the_switch_is_found_in_such_a_template(family: Family) -> None:
    found, thinking = template_of(family).thinking, family.thinking
    assert (found.mode, found.keywords, found.on, found.off) == (
        thinking.mode,
        thinking.keywords,
        thinking.on,
        thinking.off,
    )


@pytest.mark.parametrize("family", WITH_EFFORT, ids=lambda family: family.name)
def test_each_word_for_effort_makes_a_prompt_of_its_own(family: Family) -> None:
    effort = family.thinking.effort
    assert effort is not None
    prompts = {value: template_of(family).prompt(**{effort.keyword: value}) for value in effort.values}
    assert None not in prompts.values()
    assert len(set(prompts.values())) == len(effort.values)
    if effort.default is not None:
        assert told_nothing(family) == prompts[effort.default]


def test_a_budget_can_be_nothing_something_or_without_limit() -> None:
    family = Catalog.load().family("seed-oss")
    budget = family.thinking.budget
    assert budget is not None
    prompts = {template_of(family).prompt(**{budget.keyword: tokens}) for tokens in (budget.off, 512, budget.unlimited)}
    assert len(prompts) == 3


@pytest.mark.parametrize("family", WITH_MORE_WORDS, ids=lambda family: family.name)
def test_its_template_reads_the_further_words(family: Family) -> None:
    assert all(template_of(family).reads(name) for name in family.thinking.variables)


def test_the_bundled_models_template_says_what_its_family_says() -> None:
    family = Catalog.load().family("tiny-chat")
    template = ChatTemplate((Path(family.specs[0].path("none")) / "chat_template.jinja").read_text(encoding="utf-8"))
    assert template.thinking == family.thinking_switch()
    assert (template.reasoning_parser, template.tool_parser) == (family.reasoning_parser, family.tool_parser)
