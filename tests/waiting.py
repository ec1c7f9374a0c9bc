"""Waiting in tests: poll for a condition until a deadline, in blocking code and in an event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest


def wait_for(condition: Callable[[], object], deadline_s: float = 30.0, what: str = "the condition") -> Any:
    """Poll until ``condition`` returns something true, and return that; fail after ``deadline_s`` seconds."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)

    pytest.fail(f"{what} did not come true within {deadline_s} s")


async def eventually(condition: Callable[[], object], deadline_s: float = 2.0, what: str = "the condition") -> Any:
    """``wait_for`` for the tests of an event loop, which goes on running meanwhile."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        await asyncio.sleep(0.005)

    pytest.fail(f"{what} did not come true within {deadline_s} s")
