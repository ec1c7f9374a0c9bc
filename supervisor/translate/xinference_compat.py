"""Fields of Xinference's that its clients send and vLLM calls otherwise or does not take."""

from __future__ import annotations

from typing import Any

from xinfer.errors import AbilityNotSupported, InvalidBody

_CONSTRAINTS = {
    "guided_json": "json",
    "guided_regex": "regex",
    "guided_choice": "choice",
    "guided_grammar": "grammar",
    "guided_json_object": "json_object",
    "guided_whitespace_pattern": "whitespace_pattern",
}
_BACKEND = "guided_decoding_backend"
"""Which of vLLM's backends constrains the answer; vLLM now chooses it when it starts, so the field has nothing to say."""
_FIELDS = frozenset({*_CONSTRAINTS, _BACKEND, "extra_body", "lora_name"})


def translate_xinference_fields(body: dict[str, Any], *, chat: bool) -> None:
    """Replace Xinference's fields in ``body`` by vLLM's.

    A null says nothing: clients send it for what is unset, and vLLM refuses it in many fields or takes it for a value.
    """
    has_nulls = None in body.values()
    if not has_nulls and body.keys().isdisjoint(_FIELDS) and (chat or "max_completion_tokens" not in body):
        return
    _merge_extra_body(body)
    for name in [name for name, value in body.items() if value is None]:
        del body[name]
    if body.pop("lora_name", None) is not None:
        raise AbilityNotSupported("xinfer serves no LoRA adapters; leave lora_name out.", param="lora_name")
    _translate_constraints(body)
    if not chat and "max_completion_tokens" in body:
        body["max_tokens"] = body.pop("max_completion_tokens")


def _merge_extra_body(body: dict[str, Any]) -> None:
    """What OpenAI's SDK would have merged itself; fields at the top level win."""
    extra = body.pop("extra_body", None)
    if extra is None:
        return
    if not isinstance(extra, dict):
        raise InvalidBody("extra_body has to be a JSON object.", param="extra_body")
    for name, value in extra.items():
        if body.get(name) is None and name != "extra_body":
            body[name] = value


def _translate_constraints(body: dict[str, Any]) -> None:
    """``guided_...`` as ``structured_outputs``; what that says already stays."""
    body.pop(_BACKEND, None)
    asked = {ours: body.pop(theirs) for theirs, ours in _CONSTRAINTS.items() if theirs in body}
    constraints = {name: value for name, value in asked.items() if value is not False}
    if not constraints:
        return
    given = body.get("structured_outputs", {})
    if not isinstance(given, dict):
        raise InvalidBody("structured_outputs has to be a JSON object.", param="structured_outputs")
    body["structured_outputs"] = constraints | given
