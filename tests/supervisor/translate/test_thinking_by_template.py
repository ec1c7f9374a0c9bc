"""What a request says of thinking, seen where it ends: in the prompt that a template of the family's manner makes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from supervisor.translate.engine_request import build_engine_request
from tests.catalog import samples
from tests.supervisor.samples import spec
from xinfer.catalog import Catalog, Family
from xinfer.catalog.template import QUESTION, ChatTemplate
from xinfer.errors import BadRequest
from xinfer.messages import ThinkingMode
from xinfer.wire.paths import CHAT

FAMILIES = [family for family in Catalog.load().families.values() if family.thinking.mode is not ThinkingMode.NEVER]
SWITCHED = [family for family in FAMILIES if family.thinking.mode is ThinkingMode.SWITCH]
WITH_EFFORT = [family for family in FAMILIES if family.thinking.effort]
WITH_VARIABLES = [family for family in FAMILIES if family.thinking.variables]


def template_of(family: Family) -> ChatTemplate:
    return ChatTemplate(samples.OF_FAMILY.get(family.name, samples.QWEN3))


def prompt(family: Family, *, launch: bool | None = None, **fields: Any) -> str | None:
    """The prompt of a request with these fields, made as vLLM 0.32 makes it of the body that reaches it."""
    raw = json.dumps({"messages": QUESTION, **fields}).encode()
    of = spec(name=family.name, thinking=family.thinking_switch(), enable_thinking=launch)
    body = json.loads(build_engine_request(CHAT, raw, json.loads(raw), of).body)
    kwargs = body.get("chat_template_kwargs", {})
    effort = body.get("reasoning_effort")
    if effort is not None:
        kwargs = {"enable_thinking": effort != "none", **kwargs, "reasoning_effort": effort}
        if family.reasoning_parser == "kimi_k3":  # whose renderer has a name of its own for it
            kwargs["thinking_effort"] = kwargs.pop("reasoning_effort")
    assert body.keys() <= {"messages", "chat_template_kwargs", "reasoning_effort", "thinking_token_budget"}
    return template_of(family).prompt(**kwargs)


@pytest.mark.parametrize("family", SWITCHED, ids=lambda family: family.name)
def test_one_switch_for_every_family(family: Family) -> None:
    thinking = family.thinking
    for wish, word in ((True, thinking.on), (False, thinking.off)):
        own = template_of(family).prompt(**dict.fromkeys(thinking.keywords, word))
        assert own is not None
        assert prompt(family, enable_thinking=wish) == own
        assert prompt(family, launch=wish) == own
        assert prompt(family, extra_body={"enable_thinking": wish}) == own
        assert prompt(family, chat_template_kwargs=json.dumps({"thinking": wish})) == own
        assert prompt(family, launch=not wish, chat_template_kwargs={"enable_thinking": wish}) == own
    assert prompt(family, enable_thinking=True) != prompt(family, enable_thinking=False)
    assert prompt(family, reasoning_effort="none") == prompt(family, enable_thinking=False)
    assert prompt(family, thinking_budget=0) == prompt(family, enable_thinking=False)


@pytest.mark.parametrize("family", WITH_EFFORT, ids=lambda family: family.name)
def test_each_effort_of_the_family_makes_its_own_prompt(family: Family) -> None:
    effort = family.thinking.effort
    assert effort is not None
    on = {"enable_thinking": True} if family in SWITCHED else {}
    prompts = {value: prompt(family, reasoning_effort=value) for value in effort.values}
    assert len(set(prompts.values()) - {None}) == len(effort.values)
    for value in effort.values:
        assert prompt(family, **on, reasoning_effort=value) == prompts[value]
        assert prompt(family, chat_template_kwargs={**on, effort.keyword: value}) == prompts[value]
    with pytest.raises(BadRequest, match="choose from"):
        prompt(family, reasoning_effort="utmost")


@pytest.mark.parametrize("family", WITH_VARIABLES, ids=lambda family: family.name)
def test_variables_of_the_family_may_stand_at_the_top(family: Family) -> None:
    for name in family.thinking.variables:
        for value in (True, False, "adaptive"):
            assert prompt(family, **{name: value}) == template_of(family).prompt(**{name: value})


def test_budget_in_the_prompt() -> None:
    family = Catalog.load().family("seed-oss")
    assert "Think for 512." in str(prompt(family, thinking_budget=512))
    assert prompt(family, thinking_budget=0) == prompt(family, enable_thinking=False)
    assert prompt(family, thinking_budget=-1) == prompt(family, enable_thinking=True)
