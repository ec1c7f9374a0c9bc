"""What every API with messages asks of a model and of a body."""

from __future__ import annotations

from typing import Any

from supervisor.translate.thinking_effort import EFFORT
from xinfer.errors import AbilityNotSupported, InvalidBody
from xinfer.messages import ModelSpec
from xinfer.wire.paths import COMPLETIONS


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


def take_effort_from(body: dict[str, Any], place: str) -> bool:
    """Give ``body[place]["effort"]`` the name and place that it has in a chat; whether there was one."""
    holder = body.get(place)
    if not isinstance(holder, dict) or holder.get("effort") is None:
        return False
    body[place] = {name: value for name, value in holder.items() if name != "effort"}
    if body.get(EFFORT) is None:
        body[EFFORT] = holder["effort"]
    return True


def put_effort_to(body: dict[str, Any], place: str) -> None:
    """Put what is left of the effort for the engine, if anything, to ``body[place]["effort"]``."""
    left = body.pop(EFFORT, None)
    if left is not None:
        body[place] = {**(body.get(place) or {}), "effort": left}
