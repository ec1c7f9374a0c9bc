"""The thinking switch: every place it may be given in, which one wins, and what each family is told."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.translate.thinking import apply_thinking, check_thinking
from tests.supervisor.samples import ALWAYS, NEVER, ON_OFF, SWITCH, spec
from xinfer.errors import InvalidBody, ThinkingNotSupported
from xinfer.messages import ThinkingMode, ThinkingSwitch

TWO_WORDS = ThinkingSwitch(ThinkingMode.SWITCH, ("thinking", "enable_thinking"), True, False, False)
BUDGET = ThinkingSwitch(ThinkingMode.SWITCH, ("thinking_budget",), -1, 0, True)


def told(body: dict[str, Any], thinking: ThinkingSwitch = SWITCH, launch: bool | None = None) -> Any:
    """``chat_template_kwargs`` as the engine gets them; no other spelling of the switch may be left in the body."""
    apply_thinking(body, spec(thinking=thinking, enable_thinking=launch))
    assert "enable_thinking" not in body
    return body.get("chat_template_kwargs")


@pytest.mark.parametrize(
    ("body", "launch", "expected"),
    [
        # each place alone
        ({"enable_thinking": True}, None, True),
        ({"enable_thinking": False}, None, False),
        ({"chat_template_kwargs": {"enable_thinking": False}}, None, False),
        ({"chat_template_kwargs": {"thinking": False}}, None, False),
        ({"chat_template_kwargs": '{"enable_thinking": false}'}, None, False),
        ({"chat_template_kwargs": '{"thinking": true}'}, None, True),
        ({}, True, True),
        ({}, False, False),
        # the earlier wins
        ({"enable_thinking": False, "chat_template_kwargs": {"enable_thinking": True}}, None, False),
        ({"enable_thinking": False, "chat_template_kwargs": {"thinking": True}}, True, False),
        ({"chat_template_kwargs": {"enable_thinking": True, "thinking": False}}, None, True),
        ({"chat_template_kwargs": {"enable_thinking": True}}, False, True),
        ({"enable_thinking": True}, False, True),
        # null says nothing
        ({"enable_thinking": None, "chat_template_kwargs": None}, False, False),
        ({"chat_template_kwargs": {"enable_thinking": None, "thinking": True}}, False, True),
        ({"chat_template_kwargs": "null"}, True, True),
    ],
)
def test_precedence(body: dict[str, Any], launch: bool | None, expected: bool) -> None:
    assert told(body, launch=launch) == {"enable_thinking": expected}


@pytest.mark.parametrize("body", [{}, {"enable_thinking": None}, {"chat_template_kwargs": {}}])
def test_said_nowhere_the_template_decides(body: dict[str, Any]) -> None:
    assert told(body) is None


@pytest.mark.parametrize(
    ("thinking", "on", "off"),
    [
        (SWITCH, {"enable_thinking": True}, {"enable_thinking": False}),
        (TWO_WORDS, {"enable_thinking": True, "thinking": True}, {"enable_thinking": False, "thinking": False}),
        (ON_OFF, {"enable_thinking": True, "thinking_mode": "on"}, {"enable_thinking": False, "thinking_mode": "off"}),
        (BUDGET, {"enable_thinking": True, "thinking_budget": -1}, {"enable_thinking": False, "thinking_budget": 0}),
    ],
    ids=["enable_thinking", "thinking", "thinking_mode", "thinking_budget"],
)
def test_words_of_the_family(thinking: ThinkingSwitch, on: dict[str, Any], off: dict[str, Any]) -> None:
    for wish, words in ((True, on), (False, off)):
        assert told({"enable_thinking": wish}, thinking) == words
        assert told({}, thinking, launch=wish) == words
        assert told({"chat_template_kwargs": {"thinking": wish}}, thinking) == words


def test_switch_in_the_request_overrides_the_family_s_own_word() -> None:
    body = {"enable_thinking": False, "chat_template_kwargs": {"thinking_mode": "on", "other": 1}}
    assert told(body, ON_OFF) == {"enable_thinking": False, "thinking_mode": "off", "other": 1}


@pytest.mark.parametrize(("thinking", "own"), [(ON_OFF, {"thinking_mode": "on"}), (BUDGET, {"thinking_budget": 512})])
def test_launch_option_gives_way_to_the_family_s_own_word(thinking: ThinkingSwitch, own: dict[str, Any]) -> None:
    """And says nothing beside it: half on and half off would leave the thinking in the content."""
    assert told({"chat_template_kwargs": dict(own)}, thinking, launch=False) == own


def test_other_template_arguments_stay() -> None:
    body = {"enable_thinking": True, "chat_template_kwargs": {"style": "low", "documents": [1]}}
    assert told(body) == {"enable_thinking": True, "style": "low", "documents": [1]}
    assert told({"chat_template_kwargs": '{"x": 1}'}) == {"x": 1}
    assert told({"chat_template_kwargs": {"x": 1}}, launch=False) == {"x": 1, "enable_thinking": False}


@pytest.mark.parametrize("place", ["top", "kwargs", "text"])
@pytest.mark.parametrize(
    ("thinking", "wish", "words"),
    [(ALWAYS, False, "always thinks; its thinking cannot be switched off"), (NEVER, True, "never thinks")],
)
def test_what_the_family_cannot_do_is_refused(thinking: ThinkingSwitch, wish: bool, words: str, place: str) -> None:
    body = {
        "top": {"enable_thinking": wish},
        "kwargs": {"chat_template_kwargs": {"thinking": wish}},
        "text": {"chat_template_kwargs": json.dumps({"enable_thinking": wish})},
    }[place]
    with pytest.raises(ThinkingNotSupported, match=words) as caught:
        told(body, thinking)
    assert (caught.value.status, caught.value.param) == (400, "enable_thinking")
    assert "'m' (family)" in caught.value.message


@pytest.mark.parametrize(("thinking", "wish"), [(ALWAYS, True), (NEVER, False)])
def test_what_the_family_does_anyway_is_fine_and_not_passed_on(thinking: ThinkingSwitch, wish: bool) -> None:
    """Some templates raise on a switch that they do not know."""
    check_thinking(wish, spec(thinking=thinking))
    assert told({"enable_thinking": wish, "chat_template_kwargs": {"x": 1}}, thinking) == {"x": 1}
    assert told({}, thinking, launch=wish) is None


@pytest.mark.parametrize("junk", ["false", 0, 1, "", [], {}, 0.5])
@pytest.mark.parametrize("place", ["top", "kwargs"])
def test_switch_that_is_no_boolean_is_refused(junk: Any, place: str) -> None:
    body = {
        "top": {"enable_thinking": junk},
        "kwargs": {"enable_thinking": True, "chat_template_kwargs": {"thinking": junk}},
    }[place]
    with pytest.raises(InvalidBody, match="true or false") as caught:
        told(body)
    assert caught.value.param == "enable_thinking"


@pytest.mark.parametrize("junk", ["", "not json", "[1]", "1", '"text"', "{", [], [{}], 1, True, "[" * 100_000])
def test_template_arguments_that_are_no_object_are_refused(junk: Any) -> None:
    for body in ({}, {"enable_thinking": True}):
        with pytest.raises(InvalidBody, match="chat_template_kwargs"):
            told({**body, "chat_template_kwargs": junk})


def test_untouched_without_a_switch() -> None:
    body = {"messages": [], "model": "m", "extra": 1}
    before = deepcopy(body)
    apply_thinking(body, spec())
    assert body == before


MAYBE = st.none() | st.booleans()


@given(top=MAYBE, inner=MAYBE, short=MAYBE, launch=MAYBE, thinking=st.sampled_from([SWITCH, ON_OFF, BUDGET]))
def test_first_word_said_is_the_one_that_counts(
    top: bool | None, inner: bool | None, short: bool | None, launch: bool | None, thinking: Any
) -> None:
    body = {"enable_thinking": top, "chat_template_kwargs": {"enable_thinking": inner, "thinking": short}}
    said = [word for word in (top, inner, short, launch) if word is not None]
    kwargs = told(body, thinking, launch)
    if not said:
        assert kwargs is None
    else:
        assert kwargs == {
            "enable_thinking": said[0],
            thinking.keywords[0]: thinking.on if said[0] else thinking.off,
        }
