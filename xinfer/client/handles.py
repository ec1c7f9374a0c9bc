"""Handles of running models, with the methods that their abilities allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xinfer.client import _calls
from xinfer.client._calls import Json
from xinfer.client._connection import Connection
from xinfer.client.stream import Stream


class RESTfulGenerateModelHandle:
    """A model that completes text. It lives on its client's connection and needs no closing of its own."""

    def __init__(self, model_uid: str, connection: Connection) -> None:
        self.model_uid = model_uid
        self._connection = connection

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model_uid!r})"

    def generate(self, prompt: str, generate_config: Mapping[str, Any] | None = None) -> Json | Stream:
        """Complete ``prompt``.

        ``generate_config={"stream": True}`` gives an iterator of chunks, anything else the whole response.
        """
        return self._connection.infer(_calls.generate(self.model_uid, prompt, generate_config))


class RESTfulChatModelHandle(RESTfulGenerateModelHandle):
    """A model that also chats."""

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        enable_thinking: bool | None = None,
        generate_config: Mapping[str, Any] | None = None,
    ) -> Json | Stream:
        """Respond to ``messages``. ``enable_thinking=None`` leaves thinking to the launch option, then to the model.

        ``generate_config={"stream": True}`` gives an iterator of chunks, anything else the whole response.
        """
        return self._connection.infer(_calls.chat(self.model_uid, messages, tools, enable_thinking, generate_config))
