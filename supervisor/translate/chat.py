"""Chats and text completions: what is refused before an engine sees it, and what the model's family adds to a request."""

from __future__ import annotations

from typing import Any

from supervisor.translate.thinking import EFFORT, apply_thinking
from xinfer.errors import AbilityNotSupported, InvalidBody
from xinfer.messages import ModelSpec, ThinkingMode
from xinfer.wire.paths import COMPLETIONS

_CONSTRAINTS = ("structured_outputs", "response_format")


def translate_chat(body: dict[str, Any], spec: ModelSpec) -> None:
    """Make the body of ``/v1/chat/completions`` vLLM's."""
    check_chats(spec)
    check_messages(body)
    _add_stops(body, spec)
    apply_thinking(body, spec)


def translate_completion(body: dict[str, Any], spec: ModelSpec) -> None:
    """Check the body of ``/v1/completions``, of which vLLM understands all."""
    prompt = body.get("prompt")
    if prompt is None or prompt in ("", []):
        raise InvalidBody("The field 'prompt' has to be there and must not be empty.", param="prompt")
    _check_constraints(body, spec)


def check_chats(spec: ModelSpec) -> None:
    """``AbilityNotSupported`` for a model that only generates."""
    if "chat" not in spec.abilities:
        raise AbilityNotSupported(
            f"The model {spec.uid!r} does not chat; POST to {COMPLETIONS} instead.", param="model"
        )


def check_messages(body: dict[str, Any]) -> None:
    """``InvalidBody`` unless ``body`` has messages, each with a role."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidBody("The field 'messages' has to be a list with at least one message.", param="messages")
    for number, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise InvalidBody(f"messages[{number}] has to be an object with a role.", param=f"messages[{number}]")


def take_effort_from(body: dict[str, Any], place: str) -> Any:
    """Move ``body[place]["effort"]`` to the name and place that it has in a chat, and return it; None if there is none."""
    holder = body.get(place)
    if not isinstance(holder, dict) or holder.get("effort") is None:
        return None

    body[place] = {name: value for name, value in holder.items() if name != "effort"}
    if body.get(EFFORT) is None:
        body[EFFORT] = holder["effort"]
    return holder["effort"]


def put_effort_to(body: dict[str, Any], place: str) -> None:
    """Put what is left of the effort for the engine, if anything, to ``body[place]["effort"]``."""
    left = body.pop(EFFORT, None)
    if left is not None:
        body[place] = {**(body.get(place) or {}), "effort": left}


def _add_stops(body: dict[str, Any], spec: ModelSpec) -> None:
    """Stop where the family's responses end, unless the body says where."""
    # vLLM takes what the model's own files do not say per request only.
    if spec.stop and body.get("stop") is None:
        body["stop"] = list(spec.stop)
    if spec.stop_token_ids and body.get("stop_token_ids") is None:
        body["stop_token_ids"] = list(spec.stop_token_ids)


def _check_constraints(body: dict[str, Any], spec: ModelSpec) -> None:
    """``AbilityNotSupported`` where vLLM would ignore the constraint of a text completion without a word.

    It constrains an answer from the end of the reasoning on. A completion has none to end, unless its prompt has ended it.
    """
    field = next((name for name in _CONSTRAINTS if _constrains(body.get(name))), None)
    if field is None or spec.reasoning_parser is None or not _waits_for_reasoning(spec):
        return
    prompt = body.get("prompt")
    if isinstance(prompt, str) and spec.thinking.end_tag not in prompt:
        raise AbilityNotSupported(
            f"The model {spec.uid!r} thinks first, and its text completions cannot be constrained: "
            "ask /v1/chat/completions, where enable_thinking may be false.",
            param=field,
        )


def _constrains(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") != "text"


def _waits_for_reasoning(spec: ModelSpec) -> bool:
    """Parsers of families that think only if they are told to wait for nothing."""
    return spec.thinking.mode is not ThinkingMode.NEVER and spec.thinking.default is not False
