"""Turns responses and failed connections into values and errors of the tree. Both clients share it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from xinfer import errors
from xinfer.client._calls import Call
from xinfer.errors import XinferError

T = TypeVar("T")

_BUSY = (429, 503)


@dataclass(frozen=True, slots=True)
class Failure:
    """One attempt that failed. ``again`` means that another one is safe and may succeed."""

    error: XinferError
    again: bool = False


def refused(url: str) -> Failure:
    """Nothing listens at ``url``, so nothing was sent."""
    message = f"There is no xinfer server at {url}; start one with `xinfer start`, or use another endpoint."
    return Failure(errors.Unavailable(message), again=True)


def broken(url: str) -> Failure:
    """The server closed the connection."""
    return Failure(errors.EngineLost(f"The connection to {url} broke before the response was complete."))


def silent(url: str) -> Failure:
    """The connection is open, and nothing arrived in time."""
    return Failure(errors.EngineTimeout(f"{url} sent no response within the client's timeout."))


def not_ours(url: str) -> XinferError:
    """The response is not one of this API."""
    return errors.Unavailable(f"The server at {url} is not an xinfer server; check the endpoint.")


def garbled() -> XinferError:
    """An event of a stream cannot be read."""
    return errors.EngineLost("The stream has an event that is not JSON.")


def bad_status(call: Call[Any], status: int, headers: Mapping[str, str], content: bytes) -> Failure:
    """The error in a response without success, and whether to send the request again."""
    wait = _seconds(headers.get("retry-after"))
    # OpenAI's header decides if it is there, as in OpenAI's own clients.
    should_retry = headers.get("x-should-retry")
    if should_retry is None:
        may_retry = wait is not None
    else:
        may_retry = should_retry == "true"
    error = errors.from_response(status, _json_or_none(content), wait)
    return Failure(error, again=call.repeatable and status in _BUSY and may_retry)


def read(call: Call[T], url: str, content: bytes) -> T:
    """The value of a successful response."""
    try:
        return call.read(content.decode() if call.is_text else json.loads(content))
    except (ValueError, KeyError, TypeError) as error:
        raise not_ours(url) from error


def can_chat(model_uid: str, description: Mapping[str, Any]) -> bool:
    """True if the model chats, False if it only generates; raises AbilityNotSupported if it does neither."""
    abilities = set(description.get("model_ability") or [])
    if description.get("model_type") != "LLM" or not {"chat", "generate"} & abilities:
        raise errors.AbilityNotSupported(f"Model {model_uid!r} neither chats nor generates text.")
    return "chat" in abilities


def error_of_event(event: Mapping[str, Any]) -> XinferError:
    """The error in an event of a stream. Its class follows from the code, as events have no status."""
    error = event.get("error")
    code = error.get("code") if isinstance(error, Mapping) else None
    # vLLM's own errors have the status as their code.
    if isinstance(code, int):
        return errors.from_response(code, event)
    return errors.from_response(_statuses().get(str(code), 500), event)


def _statuses() -> dict[str, int]:
    found: dict[str, int] = {}
    kinds: list[type[XinferError]] = [XinferError]
    for kind in kinds:
        found[kind.code] = kind.status
        kinds += kind.__subclasses__()
    return found


def _json_or_none(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _seconds(retry_after: str | None) -> float | None:
    """``Retry-After`` in seconds; its other form, a date, is not used here."""
    try:
        if retry_after:
            return max(0.0, float(retry_after))
        return None
    except ValueError:
        return None
