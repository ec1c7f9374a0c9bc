"""How long the clients wait, and for what."""

from __future__ import annotations

from typing import Any

from xinfer.client._calls import Call
from xinfer.settings import EngineSettings

TIMEOUT_S = 600.0
"""Default of a client's ``timeout``: the longest silence before an answer, or within one."""
CONNECT_TIMEOUT_S = 10.0
LAUNCH_TIMEOUT_S = EngineSettings().start_timeout_s + 60.0
"""A launch that waits answers when the engine is up, or when the server has given it up."""


def silence_s(call: Call[Any], timeout: float | None) -> float | None:
    """How long this call's answer may keep still; None is for ever."""
    if timeout is None or not call.waits_for_launch:
        return timeout
    return max(timeout, LAUNCH_TIMEOUT_S)
