"""Which handle a model gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xinfer.errors import AbilityNotSupported


def chats(model_uid: str, description: Mapping[str, Any]) -> bool:
    """Whether the model chats, or only generates; a model that does neither is refused."""
    abilities = description.get("model_ability") or []
    if description.get("model_type") != "LLM" or not {"chat", "generate"} & set(abilities):
        raise AbilityNotSupported(f"Model {model_uid!r} neither chats nor generates text.")
    return "chat" in abilities
