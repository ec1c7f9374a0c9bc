"""A chat template, and what can be learned from it: which variables it reads and what it makes of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any, NoReturn

import jinja2
import jinja2.meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from xinfer.messages.model import BudgetParameter, EffortParameter, ThinkingMode, ThinkingSwitch

SWITCHES: tuple[tuple[str, bool | int | str, bool | int | str], ...] = (
    ("enable_thinking", True, False),
    ("thinking", True, False),
    ("thinking_mode", "on", "off"),
    ("thinking_mode", "enabled", "disabled"),
    ("thinking_budget", -1, 0),
)
"""Variables by which templates are told to think, each with its words for on and off."""

Render = Callable[..., str | None]
"""The prompt that some variables make; None if the template does not take them."""

EFFORT_KEYWORDS = ("reasoning_effort", "thinking_effort")
EFFORTS = ("minimal", "low", "medium", "high", "xhigh", "max")
BUDGET_KEYWORD = "thinking_budget"
VARIABLES = ("preserve_thinking", "clear_thinking", "drop_thinking", "thinking_option")
_USUAL = "medium"
_START_TAG = re.compile(r"<(?:\w+:)?think>")
_MARKS: tuple[tuple[str, str], ...] = (
    ("[TOOL_CALLS]", "mistral"),
    ("<|tool_calls_section_begin|>", "kimi_k2"),
    ("<minimax:tool_call>", "minimax_m2"),
    ("<seed:tool_call>", "seed_oss"),
    ("<|channel|>commentary", "openai"),
    ('"parameters": dictionary of argument name', "llama3_json"),
)
"""What is found in one family's manner of calls and in no other's, with the parser that reads it."""
_DEEPSEEK = "<｜tool▁calls▁begin｜>"
_GLM_NAME = re.compile(r"<tool_call>\{function-name\}(\n?)<arg_key>")
_JSON_FIELDS = ('{"name":', '"arguments":')

QUESTION = [{"role": "user", "content": "Why?"}]
# transformers' own marker for training masks.
_GENERATION_TAG = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")
_THINK_TAG = re.compile(r"</?(?:\w+:)?think>")


class ChatTemplate:
    """One Jinja chat template, parsed and rendered in a sandbox as transformers does it."""

    def __init__(self, source: str) -> None:
        self.source = _GENERATION_TAG.sub("", source)
        self._jinja = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        self._jinja.globals.update(raise_exception=_raise, strftime_now=lambda _: "2026-01-01")

    def reads(self, name: str) -> bool:
        """Whether a variable of that name can make a difference."""
        if self._variables is None:  # not plain Jinja: better a rough answer than none
            return re.search(rf"\{{[%{{][^%}}]*\b{name}\b", self.source) is not None
        return name in self._variables

    def prompt(self, **variables: Any) -> str | None:
        """The prompt for one short question; None if the template does not take it."""
        try:
            template = self._jinja.from_string(self.source)
            return template.render(
                messages=QUESTION, add_generation_prompt=True, bos_token="", eos_token="", **variables
            )
        except Exception:  # noqa: BLE001 - a template is somebody else's program: whatever it raises, there is no prompt
            return None

    @property
    def is_jinja(self) -> bool:
        return self._variables is not None

    @cached_property
    def thinking(self) -> ThinkingSwitch:
        """How it is told to think: by the first known switch that changes the prompt, else always or never; and how hard."""
        switch = self._switch
        if switch.mode is ThinkingMode.NEVER:
            return switch
        efforts = (_effort_parameter(name, self.prompt) for name in EFFORT_KEYWORDS if self.reads(name))
        start, end = _tags(self.source)
        return replace(
            switch,
            effort=next((words for words in efforts if words), None),
            budget=_budget_parameter(self.prompt) if self.reads(BUDGET_KEYWORD) else None,
            variables=tuple(name for name in VARIABLES if self.reads(name)),
            start_tag=start,
            end_tag=end,
        )

    @cached_property
    def _switch(self) -> ThinkingSwitch:
        for name, on, off in SWITCHES:
            if not self.reads(name):
                continue
            prompt_on = self.prompt(**{name: on})
            prompt_off = self.prompt(**{name: off})
            if prompt_on is None and prompt_off is None:  # it cannot be tried, so its word is taken
                return ThinkingSwitch(ThinkingMode.SWITCH, (name,), on, off)
            if prompt_on is not None and prompt_off is not None and prompt_on != prompt_off:
                default = {prompt_on: True, prompt_off: False}.get(self.prompt() or "")
                return ThinkingSwitch(ThinkingMode.SWITCH, (name,), on, off, default)
        return ThinkingSwitch(ThinkingMode.ALWAYS if self.knows_thinking else ThinkingMode.NEVER)

    @cached_property
    def knows_thinking(self) -> bool:
        """Whether think tags occur in it."""
        return _THINK_TAG.search(self.source) is not None

    @cached_property
    def reasoning_parser(self) -> str | None:
        """vLLM's parser for its thinking, if there is no doubt which."""
        switch = self.thinking
        if "<think>" not in self.source:
            return None
        if switch.keywords == ("enable_thinking",) and switch.default is not False:
            # This parser, too, takes an unset enable_thinking for on.
            return "qwen3"
        if switch.keywords == ("thinking",) and switch.default is False:
            # And this one an unset thinking for off.
            return "deepseek_v3"
        if switch.mode is ThinkingMode.ALWAYS and (self.prompt() or "").rstrip().endswith("<think>"):
            return "deepseek_r1"
        return None

    @cached_property
    def tool_parser(self) -> str | None:
        """vLLM's parser for its tool calls, if there is no doubt which."""
        if self.reads("tools"):
            return _tool_parser(self.source)
        return None

    @cached_property
    def _variables(self) -> set[str] | None:
        try:
            return jinja2.meta.find_undeclared_variables(self._jinja.parse(self.source))
        except (jinja2.TemplateError, RecursionError):
            return None


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _effort_parameter(keyword: str, render: Render) -> EffortParameter | None:
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


def _budget_parameter(render: Render) -> BudgetParameter | None:
    """The budget, if a number of tokens makes another prompt than none; its words for no thinking and no limit as usual."""
    some, more = (render(**{BUDGET_KEYWORD: tokens}) for tokens in (512, 1024))
    if some is not None and some != more:
        return BudgetParameter(BUDGET_KEYWORD)
    return None


def _tags(source: str) -> tuple[str, str]:
    """What stands around the thoughts; the usual ones if the template does not say."""
    found = _START_TAG.search(source)
    start = found[0] if found else "<think>"
    return start, f"</{start[1:]}"


def _tool_parser(source: str) -> str | None:
    """The parser for the calls of a template with this text; None if there is a doubt."""
    text = source.replace("\\n", "\n").replace("\\", "")
    found = {parser for mark, parser in _MARKS if mark in text}
    if found:
        if len(found) == 1:
            return found.pop()
        return None
    if _DEEPSEEK in text:
        if "```json" in text:
            return "deepseek_v3"
        return "deepseek_v31"
    glm = _GLM_NAME.search(text)
    if glm:
        if glm[1]:
            return "glm45"
        return "glm47"
    if "<tool_call>" not in text or "<arg_key>" in text:
        return None
    if "<function=" in text:
        if "<parameter=" in text:
            return "qwen3_coder"
        return None
    if all(field in text for field in _JSON_FIELDS):
        return "hermes"
    return None
