"""A chat template: which variables it reads, and how they change the prompt."""

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
"""Variables that switch thinking in templates, each with its values for on and off."""

Render = Callable[..., str | None]
"""The prompt for some variables; None if the template does not take them."""

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
"""Text that occurs only in the tool calls of one family, with vLLM's parser for them."""
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
        """Whether a variable of that name can change the prompt."""
        if self._variables is None:
            # Not plain Jinja: a rough guess is better than none.
            return re.search(rf"\{{[%{{][^%}}]*\b{name}\b", self.source) is not None
        return name in self._variables

    def prompt(self, **variables: Any) -> str | None:
        """The prompt for one short question; None if the template does not take it."""
        try:
            template = self._jinja.from_string(self.source)
            return template.render(
                messages=QUESTION, add_generation_prompt=True, bos_token="", eos_token="", **variables
            )
        except Exception:  # noqa: BLE001 - a template is somebody else's program and may raise anything
            return None

    @property
    def is_jinja(self) -> bool:
        return self._variables is not None

    @cached_property
    def thinking(self) -> ThinkingSwitch:
        """The first known switch that changes the prompt, else always or never; with effort, budget and tags."""
        switch = self._switch
        if switch.mode is ThinkingMode.NEVER:
            return switch
        start, end = _tags(self.source)
        return replace(
            switch,
            effort=self._effort,
            budget=self._budget,
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
            if prompt_on is None and prompt_off is None:
                # It cannot be rendered here, perhaps for want of a variable; reading the switch has to do.
                return ThinkingSwitch(ThinkingMode.SWITCH, (name,), on, off)
            if prompt_on is not None and prompt_off is not None and prompt_on != prompt_off:
                default = {prompt_on: True, prompt_off: False}.get(self.prompt() or "")
                return ThinkingSwitch(ThinkingMode.SWITCH, (name,), on, off, default)
        if self.knows_thinking:
            return ThinkingSwitch(ThinkingMode.ALWAYS)
        return ThinkingSwitch(ThinkingMode.NEVER)

    @property
    def _effort(self) -> EffortParameter | None:
        for name in EFFORT_KEYWORDS:
            if not self.reads(name):
                continue
            effort = _effort_parameter(name, self.prompt)
            if effort:
                return effort
        return None

    @property
    def _budget(self) -> BudgetParameter | None:
        if self.reads(BUDGET_KEYWORD):
            return _budget_parameter(self.prompt)
        return None

    @cached_property
    def knows_thinking(self) -> bool:
        """Whether think tags occur in the template."""
        return _THINK_TAG.search(self.source) is not None

    @cached_property
    def reasoning_parser(self) -> str | None:
        """vLLM's parser for its thinking; None if it is not certain which."""
        switch = self.thinking
        if "<think>" not in self.source:
            return None
        if switch.keywords == ("enable_thinking",) and switch.default is not False:
            # This parser, too, reads an unset enable_thinking as on.
            return "qwen3"
        if switch.keywords == ("thinking",) and switch.default is False:
            # And this one reads an unset thinking as off.
            return "deepseek_v3"
        if switch.mode is ThinkingMode.ALWAYS and (self.prompt() or "").rstrip().endswith("<think>"):
            return "deepseek_r1"
        return None

    @cached_property
    def tool_parser(self) -> str | None:
        """vLLM's parser for its tool calls; None if it is not certain which."""
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
    """The values of ``keyword`` that change the prompt, and ``medium`` if it is the default; None if under two."""
    unset = render()
    # A value that gives the same prompt as nonsense is none of the template's.
    nonsense = render(**{keyword: "-"})
    known: list[str] = []
    default: str | None = None
    for value in EFFORTS:
        prompt = render(**{keyword: value})
        if prompt is None:
            continue
        is_default = prompt == unset
        # Many templates treat an unknown value as their default, so that medium gives the prompt of nonsense.
        if prompt != nonsense or (value == _USUAL and is_default):
            known.append(value)
            if is_default and default is None:
                default = value
    if len(known) < 2:
        return None
    return EffortParameter(keyword, tuple(known), default)


def _budget_parameter(render: Render) -> BudgetParameter | None:
    """The budget, if the number of tokens changes the prompt; none and no limit have the usual values."""
    some = render(**{BUDGET_KEYWORD: 512})
    more = render(**{BUDGET_KEYWORD: 1024})
    if some is not None and some != more:
        return BudgetParameter(BUDGET_KEYWORD)
    return None


def _tags(source: str) -> tuple[str, str]:
    """The tags around the thoughts; the usual ones if the template has none."""
    found = _START_TAG.search(source)
    start = found[0] if found else "<think>"
    return start, f"</{start[1:]}"


def _tool_parser(source: str) -> str | None:
    """vLLM's parser for the tool calls in a template; None if it is not certain which."""
    # Templates hold the same text inside Jinja's strings, with escapes, and outside of them.
    text = source.replace("\\n", "\n").replace("\\", "")
    found = {parser for mark, parser in _MARKS if mark in text}
    if found:
        # The marks of two families leave a doubt, and a wrong parser loses calls.
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
