"""A chat template, and what can be learned from it: which variables it reads and what it makes of them."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cached_property
from typing import Any, NoReturn

import jinja2
import jinja2.meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from xinfer.catalog.thinking_controls import (
    BUDGET_KEYWORD,
    EFFORT_KEYWORDS,
    VARIABLES,
    budget_words,
    effort_words,
    tags,
)
from xinfer.catalog.tool_parser_detection import tool_parser
from xinfer.messages.model import ThinkingMode, ThinkingSwitch

SWITCHES: tuple[tuple[str, bool | int | str, bool | int | str], ...] = (
    ("enable_thinking", True, False),
    ("thinking", True, False),
    ("thinking_mode", "on", "off"),
    ("thinking_mode", "enabled", "disabled"),
    ("thinking_budget", -1, 0),
)
"""Variables by which templates are told to think, each with its words for on and off."""

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
        efforts = (effort_words(name, self.prompt) for name in EFFORT_KEYWORDS if self.reads(name))
        start, end = tags(self.source)
        return replace(
            switch,
            effort=next((words for words in efforts if words), None),
            budget=budget_words(self.prompt) if self.reads(BUDGET_KEYWORD) else None,
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
            return tool_parser(self.source)
        return None

    @cached_property
    def _variables(self) -> set[str] | None:
        try:
            return jinja2.meta.find_undeclared_variables(self._jinja.parse(self.source))
        except (jinja2.TemplateError, RecursionError):
            return None


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
