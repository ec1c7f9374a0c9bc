"""How a request ended, by the exception that left it."""

from __future__ import annotations

import asyncio

from supervisor.gateway.request_body import ClientGone
from xinfer.errors import XinferError
from xinfer.messages import Outcome

_OVERLOADED = 429
_CANCELLED = 499


def outcome_of(error: BaseException | None, *, broken: bool = False) -> Outcome:
    """``broken`` says that a response broke off after its status had been sent."""
    if error is None:
        return Outcome.BROKEN if broken else Outcome.OK
    if isinstance(error, (ClientGone, asyncio.CancelledError)):
        return Outcome.CANCELLED
    if not isinstance(error, XinferError):
        return Outcome.FAILED
    if error.status == _OVERLOADED:
        return Outcome.OVERLOADED
    return Outcome.FAILED if error.status >= 500 else Outcome.REFUSED


def status_of(error: BaseException | None) -> int:
    """The HTTP status that the client was sent, or 499 if it has left."""
    if error is None:
        return 200
    if isinstance(error, (ClientGone, asyncio.CancelledError)):
        return _CANCELLED
    return error.status if isinstance(error, XinferError) else 500
