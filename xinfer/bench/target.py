"""A server that is measured: where it is, which of its models is used, and with which key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from xinfer.bench.workload import Api
from xinfer.errors import ModelNotFound
from xinfer.wire.paths import CHAT, COMPLETIONS

Side = Literal["a", "b"]
"""A is the server that is measured; B, if there is one, is what A is compared with."""

_PATHS: dict[Api, str] = {"chat": CHAT, "completions": COMPLETIONS}


def base_url(text: str) -> str:
    """The address without ``/v1`` at its end; ValueError if it is none."""
    url = text.rstrip("/").removesuffix("/v1").rstrip("/")
    if not url.startswith(("http://", "https://")) or not urlsplit(url).hostname:
        raise ValueError(f"{text!r}: expected http://host:port")
    return url


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server is, and the key for it."""

    url: str
    api_key: str | None = field(default=None, repr=False)

    @property
    def headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        return headers

    @property
    def models_url(self) -> str:
        return f"{self.url}/v1/models"


@dataclass(frozen=True, slots=True)
class Target:
    """A server and one of its models."""

    server: Server
    model: str

    def inference_url(self, api: Api) -> str:
        return self.server.url + _PATHS[api]

    def __str__(self) -> str:
        return f"{self.server.url} ({self.model})"


def choose(url: str, models: Sequence[str], option: str, preferred: str | None = None) -> str:
    """The preferred model if the server has it, else its only one; ModelNotFound without either."""
    if preferred in models:
        return str(preferred)
    if len(models) == 1:
        return models[0]
    if not models:
        raise ModelNotFound(f"{url} runs no model; start one with `xinfer launch MODEL_NAME`.")
    names = ", ".join(models)
    raise ModelNotFound(f"`xinfer bench` needs {option}, since {url} has several models: {names}.")
