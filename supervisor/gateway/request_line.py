"""What is logged of each request, gathered while it runs. No prompt, no response, nothing that the client made up but its id."""

from __future__ import annotations

import logging
import re

from xinfer.messages import Outcome
from xinfer.request_log import LOGGER, is_logged, logged_share

_log = logging.getLogger(LOGGER)
_CANCELLED = 499
# The counts are at the end of a response, whatever its API calls them.
_TAIL_BYTES = 4096
_PROMPT = re.compile(rb'"(?:prompt|input)_tokens":\s*(\d+)')
_COMPLETION = re.compile(rb'"(?:completion|output)_tokens":\s*(\d+)')


class RequestLine:
    """The line of one request."""

    # Slots and plain attributes: every request makes one of these.
    __slots__ = ("completion_tokens", "first_token_s", "key", "model", "path", "prompt_tokens", "replica", "request_id")

    def __init__(self, request_id: str, path: str, model: str) -> None:
        self.request_id = request_id
        self.path = path
        self.model = model
        self.key: str | None = None
        """The key's id; None without keys."""
        self.replica: str | None = None
        self.first_token_s: float | None = None
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None

    def read_usage(self, *pieces: bytes) -> None:
        """Take the token counts from the last pieces of a response, if they are there."""
        tail = b"".join(piece[-_TAIL_BYTES:] for piece in pieces)
        self.prompt_tokens = _last(_PROMPT, tail)
        self.completion_tokens = _last(_COMPLETION, tail)

    def write(self, outcome: Outcome, status: int, duration_s: float) -> None:
        """Log it, unless it is one of those that are left out, or this process has no file for it."""
        if not _log.handlers or not _log.isEnabledFor(logging.INFO):
            return
        if outcome is Outcome.OK and not is_logged(self.request_id, _share):
            return
        fields = {
            "request": self.request_id,
            "key": self.key,
            "model": self.model,
            "replica": self.replica,
            "path": self.path,
            "status": _CANCELLED if outcome is Outcome.CANCELLED else status,
            "outcome": outcome.value,
            "ttft_s": None if self.first_token_s is None else round(self.first_token_s, 4),
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "duration_s": round(duration_s, 4),
        }
        _log.info("request", extra={"fields": fields})


_share = 1.0


def set_share() -> None:
    """Log the share of successful requests that the environment names. ``ValueError`` for a wrong one."""
    global _share
    _share = logged_share()


def _last(pattern: re.Pattern[bytes], tail: bytes) -> int | None:
    found = pattern.findall(tail)
    return int(found[-1]) if found else None
