"""What a chat template can be told about thinking beside the switch: how hard, how long, and what to keep of it."""

from __future__ import annotations

import re
from collections.abc import Callable

from xinfer.messages.model import BudgetParameter, EffortParameter

Render = Callable[..., str | None]
"""The prompt that some variables make; None if the template does not take them."""

EFFORT_KEYWORDS = ("reasoning_effort", "thinking_effort")
EFFORTS = ("minimal", "low", "medium", "high", "xhigh", "max")
BUDGET_KEYWORD = "thinking_budget"
VARIABLES = ("preserve_thinking", "clear_thinking", "drop_thinking", "thinking_option")
_USUAL = "medium"
_START_TAG = re.compile(r"<(?:\w+:)?think>")


def effort_words(keyword: str, render: Render) -> EffortParameter | None:
    """The efforts that change the prompt, and ``medium`` if it is what the template takes when it is told nothing.

    None if there are fewer than two. A value that does the same as nonsense is none of the template's.
    """
    unsaid = render()
    nonsense = render(**{keyword: "-"})
    prompts = {value: render(**{keyword: value}) for value in EFFORTS}
    known = [v for v, prompt in prompts.items() if prompt is not None and prompt != nonsense]
    if prompts[_USUAL] is not None and prompts[_USUAL] == unsaid and known and _USUAL not in known:
        known = [value for value in EFFORTS if value in (*known, _USUAL)]
    if len(known) < 2:
        return None
    return EffortParameter(keyword, tuple(known), next((value for value in known if prompts[value] == unsaid), None))


def budget_words(render: Render) -> BudgetParameter | None:
    """The budget, if a number of tokens makes another prompt than none; its words for no thinking and no limit as usual."""
    some, more = (render(**{BUDGET_KEYWORD: tokens}) for tokens in (512, 1024))
    if some is not None and some != more:
        return BudgetParameter(BUDGET_KEYWORD)
    return None


def tags(source: str) -> tuple[str, str]:
    """What stands around the thoughts; the usual ones if the template does not say."""
    found = _START_TAG.search(source)
    start = found[0] if found else "<think>"
    return start, f"</{start[1:]}"
