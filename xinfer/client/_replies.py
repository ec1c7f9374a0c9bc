"""What came back, or did not, as a value or as an error of the tree. The blocking and the async client share it."""

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
    """One attempt that failed. ``again`` says that a second one cannot do harm and may help."""

    error: XinferError
    again: bool = False


def refused(url: str) -> Failure:
    """Nobody listens; nothing was sent."""
    message = f"No xinfer server answers at {url}; start one with `xinfer start`, or name another endpoint."
    return Failure(errors.Unavailable(message), again=True)


def broken(url: str) -> Failure:
    """The connection was there and is gone."""
    return Failure(errors.EngineLost(f"The connection to {url} broke before the answer was complete."))


def silent(url: str) -> Failure:
    """The connection is there and says nothing."""
    return Failure(errors.EngineTimeout(f"{url} did not answer within the client's timeout."))


def not_ours(url: str) -> XinferError:
    """Something answered, but not this API."""
    return errors.Unavailable(f"{url} does not answer as an xinfer server would; check the endpoint.")


def garbled() -> XinferError:
    """A stream held an event that cannot be read."""
    return errors.EngineLost("The stream held an event that is not JSON.")


def bad_status(call: Call[Any], status: int, headers: Mapping[str, str], content: bytes) -> Failure:
    """The error in a reply whose status is not a success, and whether the server would like to be asked again."""
    wait = _seconds(headers.get("retry-after"))
    wish = headers.get("x-should-retry")
    wished = wish == "true" or (wish is None and wait is not None)
    error = errors.from_response(status, _json_or_none(content), wait)
    return Failure(error, again=call.repeatable and status in _BUSY and wished)


def read(call: Call[T], url: str, content: bytes) -> T:
    """The value of a good reply."""
    try:
        return call.read(json.loads(content))
    except (ValueError, KeyError, TypeError) as error:
        raise not_ours(url) from error


def can_chat(model_uid: str, description: Mapping[str, Any]) -> bool:
    """True if the model chats, False if it only generates; raises AbilityNotSupported if it does neither."""
    abilities = set(description.get("model_ability") or [])
    if description.get("model_type") != "LLM" or not {"chat", "generate"} & abilities:
        raise errors.AbilityNotSupported(f"Model {model_uid!r} neither chats nor generates text.")
    return "chat" in abilities


def error_of_event(event: Mapping[str, Any]) -> XinferError:
    """The error that came as an event of a stream. Its status is not on the wire; its code tells."""
    error = event.get("error")
    code = error.get("code") if isinstance(error, Mapping) else None
    if isinstance(code, int):  # vLLM puts the status there
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
