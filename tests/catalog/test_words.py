"""What templates can be told about thinking beside the switch, found out by trying them."""

from __future__ import annotations

import pytest

from tests.catalog import samples
from xinfer.catalog.template import ChatTemplate
from xinfer.messages import BudgetParameter, EffortParameter

ALL = ("minimal", "low", "medium", "high", "xhigh", "max")
THINKS = "<think>\n"
LADDER = "{% if reasoning_effort == 'low' %}A{% elif reasoning_effort == 'high' %}B{% endif %}" + samples.TURNS + THINKS


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (samples.GPT_OSS + THINKS, EffortParameter("reasoning_effort", ALL, "medium")),
        (samples.QWEN38, EffortParameter("reasoning_effort", ("low", "medium", "xhigh"), "xhigh")),
        (samples.KIMI_K3 + "{# <think> #}", EffortParameter("thinking_effort", ALL)),
        (LADDER, EffortParameter("reasoning_effort", ("low", "medium", "high"), "medium")),
        (samples.QWEN3, None),
        ("{{ reasoning_effort and '' }}" + samples.QWEN3, None),
        ("{{ reasoning_effort }}" + samples.PLAIN, None),
    ],
    ids=["printed", "refuses others", "own keyword", "ladder", "not read", "read in vain", "never thinks"],
)
def test_effort(template: str, words: EffortParameter | None) -> None:
    assert ChatTemplate(template).thinking.effort == words


def test_budget() -> None:
    assert ChatTemplate(samples.SEED_OSS).thinking.budget == BudgetParameter("thinking_budget", 0, -1)
    assert ChatTemplate("{% if thinking_budget == 0 %}x{% endif %}" + samples.QWEN3).thinking.budget is None


def test_variables() -> None:
    assert ChatTemplate(samples.GLM_47).thinking.variables == ("clear_thinking",)
    assert ChatTemplate(samples.PLAIN + "{{ clear_thinking }}").thinking.variables == ()


@pytest.mark.parametrize("tag", ["think", "mm:think", "seed:think"])
def test_tags(tag: str) -> None:
    thinking = ChatTemplate(samples.TURNS + f"<{tag}>").thinking
    assert (thinking.start_tag, thinking.end_tag) == (f"<{tag}>", f"</{tag}>")


def test_tags_that_nobody_names_are_the_usual_ones() -> None:
    thinking = ChatTemplate(samples.GEMMA_4).thinking
    assert (thinking.start_tag, thinking.end_tag) == ("<think>", "</think>")
