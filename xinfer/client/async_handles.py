"""Handles of running models for the async client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xinfer.client import _calls
from xinfer.client._async_connection import AsyncConnection
from xinfer.client._calls import Json
from xinfer.client.async_stream import AsyncStream


class AsyncRESTfulGenerateModelHandle:
    """A model that completes text. It lives on its client's connection and needs no closing of its own."""

    def __init__(self, model_uid: str, connection: AsyncConnection) -> None:
        self.model_uid = model_uid
        self._connection = connection

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model_uid!r})"

    async def generate(
        self,
        prompt: str,
        generate_config: Mapping[str, Any] | None = None,
    ) -> Json | AsyncStream:
        """Complete ``prompt``.

        ``generate_config={"stream": True}`` gives an async iterator of chunks, anything else the whole response.
        """
        return await self._connection.infer(_calls.generate(self.model_uid, prompt, generate_config))


class AsyncRESTfulChatModelHandle(AsyncRESTfulGenerateModelHandle):
    """A model that also chats."""

    async def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        enable_thinking: bool | None = None,
        generate_config: Mapping[str, Any] | None = None,
    ) -> Json | AsyncStream:
        """Respond to ``messages``. ``enable_thinking=None`` leaves thinking to the launch option, then to the model.

        ``generate_config={"stream": True}`` gives an async iterator of chunks, anything else the whole response.
        """
        return await self._connection.infer(
            _calls.chat(self.model_uid, messages, tools, enable_thinking, generate_config)
        )
