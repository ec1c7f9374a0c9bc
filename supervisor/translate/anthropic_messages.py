"""Anthropic's Messages API: its ``thinking`` and effort become the fields that every family's switch is translated from."""

from __future__ import annotations

from typing import Any

from supervisor.translate.chat import check_chats, check_messages, put_effort_to, take_effort_from
from supervisor.translate.thinking import BUDGET, EFFORT, ENGINE_BUDGET, SWITCH, apply_thinking
from xinfer.messages import ModelSpec, ThinkingMode

_CONFIG = "output_config"
_OFF = "none"


def translate_messages(body: dict[str, Any], spec: ModelSpec) -> None:
    """Make the body of ``/v1/messages``, or of its ``count_tokens``, the engine's."""
    check_chats(spec)
    check_messages(body)
    _translate_switch(body, spec)
    take_effort_from(body, _CONFIG)
    if spec.thinking.mode is ThinkingMode.NEVER or body.get(SWITCH) is False:
        # Anthropic's clients send one with thinking off as well, and to models that do not think.
        body.pop(EFFORT, None)
    apply_thinking(body, spec)
    # The engine reads that out of ``thinking``.
    body.pop(ENGINE_BUDGET, None)
    if body.get(EFFORT) == _OFF:
        body["thinking"] = {"type": "disabled"}
        del body[EFFORT]
    put_effort_to(body, _CONFIG)


def _translate_switch(body: dict[str, Any], spec: ModelSpec) -> None:
    """``thinking`` as ``enable_thinking``, unless the request has that, too; an unknown type is the engine's to refuse."""
    thinking = body.get("thinking")
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if kind == "adaptive" and spec.thinking.mode is not ThinkingMode.SWITCH:
        # How much it thinks is left to the model, and this one always does or never.
        return
    if not isinstance(thinking, dict) or kind not in ("enabled", "disabled", "adaptive"):
        return
    if kind == "disabled":
        # The engine would make a reasoning effort of it, whatever the family's switch is.
        del body["thinking"]

    if body.get(SWITCH) is None:
        body[SWITCH] = kind != "disabled"
    budget = thinking.get("budget_tokens")
    if budget is not None and body.get(BUDGET) is None:
        body[BUDGET] = budget
