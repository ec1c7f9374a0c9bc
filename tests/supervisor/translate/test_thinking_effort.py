"""Reasoning effort and budget: what each kind of family is told, and what it cannot be told."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.translate.thinking import EFFORTS, apply_thinking
from tests.supervisor.samples import ALWAYS, NEVER, ON_OFF, SWITCH, spec
from xinfer.errors import BadRequest, InvalidBody, ThinkingNotSupported
from xinfer.messages import BudgetParameter, EffortParameter, ThinkingMode, ThinkingSwitch

LOW_TO_HIGH = EffortParameter("reasoning_effort", ("low", "medium", "high"), "medium")
GPT_OSS = ThinkingSwitch(ThinkingMode.ALWAYS, effort=LOW_TO_HIGH)
QWEN38 = ThinkingSwitch(
    ThinkingMode.SWITCH,
    ("enable_thinking",),
    default=True,
    effort=EffortParameter("reasoning_effort", ("low", "xhigh")),
)
OWN_KEYWORD = ThinkingSwitch(ThinkingMode.ALWAYS, effort=EffortParameter("thinking_effort", ("low", "high")))
HUNYUAN = ThinkingSwitch(
    ThinkingMode.SWITCH,
    ("reasoning_effort",),
    "high",
    "no_think",
    True,
    EffortParameter("reasoning_effort", ("low", "high")),
)
MISTRAL = ThinkingSwitch(
    ThinkingMode.SWITCH,
    ("reasoning_effort",),
    "high",
    "none",
    effort=EffortParameter("reasoning_effort", ("none", "high")),
)
SEED_OSS = ThinkingSwitch(
    ThinkingMode.SWITCH, ("thinking_budget",), -1, 0, True, budget=BudgetParameter("thinking_budget", 0, -1)
)
ALWAYS_BUDGET = ThinkingSwitch(ThinkingMode.ALWAYS, budget=BudgetParameter("budget", None, None))
ON, OFF = {"enable_thinking": True}, {"enable_thinking": False}


def engine(thinking: ThinkingSwitch, launch: bool | None = None, **fields: Any) -> dict[str, Any]:
    """What the engine gets of a request with these fields."""
    apply_thinking(fields, spec(thinking=thinking, enable_thinking=launch))
    return fields


def test_effort_of_a_family_that_has_it() -> None:
    assert engine(GPT_OSS, reasoning_effort="low") == {"reasoning_effort": "low"}
    assert engine(QWEN38, reasoning_effort="xhigh") == {"reasoning_effort": "xhigh", "chat_template_kwargs": ON}
    assert engine(OWN_KEYWORD, reasoning_effort="low") == {"chat_template_kwargs": {"thinking_effort": "low"}}
    assert engine(HUNYUAN, reasoning_effort="low") == {"reasoning_effort": "low"}


def test_effort_in_the_words_of_the_template_stays_there() -> None:
    given = {"reasoning_effort": "unheard of", "x": 1}
    assert engine(GPT_OSS, chat_template_kwargs=dict(given)) == {"chat_template_kwargs": given}


@pytest.mark.parametrize("value", ["minimal", "max", "none", "", "LOW", 1, True, [], {}])
def test_effort_that_the_family_does_not_have(value: Any) -> None:
    with pytest.raises(InvalidBody, match=r"'m' \(family\) .* choose from: low, medium, high\.") as caught:
        engine(GPT_OSS, reasoning_effort=value)
    assert caught.value.param == "reasoning_effort"


def test_values_named_are_those_that_work() -> None:
    with pytest.raises(InvalidBody, match="choose from: none, low, xhigh") as caught:
        engine(QWEN38, reasoning_effort="high")
    for value in caught.value.message.rstrip(".").rpartition(": ")[2].split(", "):
        engine(QWEN38, reasoning_effort=value)


@pytest.mark.parametrize("value", [each for each in EFFORTS if each != "none"])
def test_a_family_without_degrees_thinks(value: str) -> None:
    assert engine(SWITCH, reasoning_effort=value) == {"chat_template_kwargs": ON}
    assert engine(ON_OFF, reasoning_effort=value) == {"chat_template_kwargs": {**ON, "thinking_mode": "on"}}
    assert engine(ALWAYS, reasoning_effort=value) == {}
    with pytest.raises(ThinkingNotSupported, match="never thinks") as caught:
        engine(NEVER, reasoning_effort=value)
    assert caught.value.param == "reasoning_effort"


def test_none_is_off() -> None:
    assert engine(SWITCH, reasoning_effort="none") == {"chat_template_kwargs": OFF}
    assert engine(QWEN38, reasoning_effort="none") == {"chat_template_kwargs": OFF}
    assert engine(ON_OFF, reasoning_effort="none") == {"chat_template_kwargs": {**OFF, "thinking_mode": "off"}}
    assert engine(NEVER, reasoning_effort="none") == {}
    with pytest.raises(ThinkingNotSupported, match="always thinks"):
        engine(ALWAYS, reasoning_effort="none")


def test_unknown_effort_is_refused_by_every_family() -> None:
    for thinking in (SWITCH, ALWAYS, NEVER):
        with pytest.raises(InvalidBody, match="choose from: none, minimal"):
            engine(thinking, reasoning_effort="utmost")


def test_effort_that_is_the_switch() -> None:
    """Hunyuan has a word of its own for none; Mistral's tokenizer takes no variables of a template at all."""
    assert engine(HUNYUAN, enable_thinking=False)["chat_template_kwargs"]["reasoning_effort"] == "no_think"
    assert engine(HUNYUAN, reasoning_effort="none")["chat_template_kwargs"]["reasoning_effort"] == "no_think"
    assert engine(HUNYUAN, enable_thinking=True) == {"reasoning_effort": "high"}
    assert engine(HUNYUAN, enable_thinking=True, reasoning_effort="low") == {"reasoning_effort": "low"}
    for fields in ({"enable_thinking": False}, {"reasoning_effort": "none"}):
        assert engine(MISTRAL, **fields) == {"reasoning_effort": "none"}
    assert engine(MISTRAL, launch=False) == {"reasoning_effort": "none"}
    assert engine(MISTRAL, launch=False, reasoning_effort="high") == {"reasoning_effort": "high"}


@pytest.mark.parametrize(
    ("fields", "off"),
    [
        ({"enable_thinking": False, "reasoning_effort": "high"}, "enable_thinking"),
        ({"chat_template_kwargs": {"thinking": False}, "reasoning_effort": "low"}, "enable_thinking"),
        ({"enable_thinking": True, "reasoning_effort": "none"}, "reasoning_effort"),
        ({"enable_thinking": True, "thinking_budget": 0}, "thinking_budget"),
        ({"reasoning_effort": "high", "thinking_budget": 0}, "thinking_budget"),
    ],
)
def test_contradictions_are_refused(fields: dict[str, Any], off: str) -> None:
    with pytest.raises(InvalidBody, match=f"asks for thinking and {off} for none") as caught:
        engine(SWITCH, **fields)
    assert caught.value.param == off


def test_effort_and_budget_win_over_the_launch_option() -> None:
    assert engine(SWITCH, False, reasoning_effort="high") == {"chat_template_kwargs": ON}
    assert engine(SWITCH, True, reasoning_effort="none") == {"chat_template_kwargs": OFF}
    assert engine(SWITCH, True, thinking_budget=0) == {"chat_template_kwargs": OFF}


def test_budget_that_the_template_reads() -> None:
    assert engine(SEED_OSS, thinking_budget=512) == {"chat_template_kwargs": {"thinking_budget": 512}}
    assert engine(SEED_OSS, thinking_budget=-1) == {"chat_template_kwargs": {"thinking_budget": -1}}
    assert engine(SEED_OSS, thinking_budget=0) == {"chat_template_kwargs": {**OFF, "thinking_budget": 0}}
    with_switch = engine(SEED_OSS, enable_thinking=True, thinking_budget=512)
    assert with_switch == {"chat_template_kwargs": {**ON, "thinking_budget": 512}}
    assert engine(ALWAYS_BUDGET, thinking_budget=7) == {"chat_template_kwargs": {"budget": 7}}
    assert engine(ALWAYS_BUDGET, thinking_budget=-1) == {}


def test_budget_of_any_other_family_is_the_engine_s() -> None:
    assert engine(SWITCH, thinking_budget=512) == {"thinking_token_budget": 512}
    assert engine(SWITCH, enable_thinking=True, thinking_budget=512) == {
        "thinking_token_budget": 512,
        "chat_template_kwargs": ON,
    }
    assert engine(SWITCH, thinking_budget=-1) == {}
    assert engine(SWITCH, thinking_budget=0) == {"chat_template_kwargs": OFF}
    assert engine(ALWAYS, thinking_budget=0) == {"thinking_token_budget": 0}


def test_a_limit_is_no_wish_to_think() -> None:
    """Clients leave it set while they switch thinking off and on."""
    assert engine(SWITCH, enable_thinking=False, thinking_budget=512) == {"chat_template_kwargs": OFF}
    off = {"chat_template_kwargs": {**OFF, "thinking_budget": 0}}
    assert engine(SEED_OSS, enable_thinking=False, thinking_budget=512) == off
    assert engine(NEVER, thinking_budget=512) == {"thinking_token_budget": 512}


def test_a_template_that_cannot_be_told_none() -> None:
    with pytest.raises(ThinkingNotSupported, match="always thinks") as caught:
        engine(ALWAYS_BUDGET, thinking_budget=0)
    assert caught.value.param == "thinking_budget"


@pytest.mark.parametrize("junk", ["512", 1.5, True, -2, [], {}])
def test_budget_that_is_no_number_of_tokens(junk: Any) -> None:
    with pytest.raises(InvalidBody, match="thinking_budget has to be"):
        engine(SWITCH, thinking_budget=junk)


def test_vllm_s_own_budget_passes() -> None:
    assert engine(SWITCH, thinking_token_budget=5, enable_thinking=True)["thinking_token_budget"] == 5


def test_variables_of_the_family() -> None:
    glm = ThinkingSwitch(ThinkingMode.SWITCH, ("enable_thinking",), default=True, variables=("clear_thinking",))
    assert engine(glm, clear_thinking=False) == {"chat_template_kwargs": {"clear_thinking": False}}
    both = engine(glm, clear_thinking=False, chat_template_kwargs={"clear_thinking": True, "x": 1})
    assert both == {"chat_template_kwargs": {"clear_thinking": False, "x": 1}}
    assert engine(SWITCH, clear_thinking=False) == {"clear_thinking": False}
    adaptive = ThinkingSwitch(
        ThinkingMode.SWITCH, ("thinking_mode",), "enabled", "disabled", variables=("thinking_mode",)
    )
    assert engine(adaptive, False, thinking_mode="adaptive") == {"chat_template_kwargs": {"thinking_mode": "adaptive"}}


FAMILIES = [SWITCH, ON_OFF, ALWAYS, NEVER, GPT_OSS, QWEN38, OWN_KEYWORD, HUNYUAN, MISTRAL, SEED_OSS, ALWAYS_BUDGET]


@given(
    st.sampled_from(FAMILIES),
    st.none() | st.booleans(),
    st.fixed_dictionaries(
        {},
        optional={
            "enable_thinking": st.booleans(),
            "reasoning_effort": st.sampled_from([*EFFORTS, "utmost"]),
            "thinking_budget": st.sampled_from([-1, 0, 5]),
        },
    ),
)
def test_whatever_is_asked_the_engine_is_told_one_thing(
    thinking: ThinkingSwitch, launch: bool | None, fields: dict[str, Any]
) -> None:
    """Refused, or in words that the engine takes: never thinking in one place and none in another."""
    body = None
    with contextlib.suppress(BadRequest):
        body = engine(thinking, launch, **fields)
    if body is None:
        return
    kwargs = body.get("chat_template_kwargs", {})
    assert body.keys() <= {"chat_template_kwargs", "reasoning_effort", "thinking_token_budget"}
    assert body.get("reasoning_effort") in (None, *EFFORTS)
    if kwargs.get("enable_thinking") is False:
        assert "reasoning_effort" not in body
        assert "thinking_token_budget" not in body
        assert all(kwargs[name] == thinking.off for name in thinking.keywords)
