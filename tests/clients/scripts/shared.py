"""What the scripts of all environments know of the cluster they are run against, and what they ask its model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

ENDPOINT = os.environ["XINFER_ENDPOINT"]
MODEL = os.environ["XINFER_MODEL"]
"""The UID of tiny-chat on real vLLM. It keeps running: scripts launch others and take them down."""
MODEL_FOLDER = os.environ["XINFER_MODEL_FOLDER"]
"""The files of tiny-chat, for launches of other models."""

SYSTEM = {"role": "system", "content": "You are a helpful assistant."}
QUESTION = "What is the largest animal?"
ANSWER = "blue whale"
MESSAGES = [SYSTEM, {"role": "user", "content": QUESTION}]
TRIES = 3
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 512}

WEATHER_QUESTION = "What is the weather in Taipei?"
WEATHER_MESSAGES = [{"role": "user", "content": WEATHER_QUESTION}]
WEATHER_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TWO_CITIES = "What is the weather in Taipei and Tokyo?"


def streamed(ask: Callable[[], Iterable[T]]) -> list[T]:
    """The parts of a stream, of at most ``TRIES`` the first with more than three.

    vLLM puts what waits for the client into one chunk, on a busy machine a short answer as a whole.
    """
    for _ in range(TRIES):
        parts = list(ask())
        if len(parts) > 3:
            break
    return parts


def says(text: str) -> bool:
    """Whether ``text`` answers ``QUESTION`` rightly and shows nothing of how the model got there."""
    return ANSWER in text.lower() and "<think>" not in text and "</think>" not in text
