"""The client: every call of the REST API as a method, blocking or awaited, with the errors of ``xinfer.errors``.

    from xinfer.client import RESTfulClient

    with RESTfulClient("http://127.0.0.1:9997") as client:
        print(client.get_model("tiny-chat").chat([{"role": "user", "content": "Hello"}]))

Names are looked up on first use: a program that only blocks does not pay for importing aiohttp.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xinfer.client.async_handles import AsyncRESTfulChatModelHandle, AsyncRESTfulGenerateModelHandle
    from xinfer.client.async_restful import AsyncRESTfulClient
    from xinfer.client.async_restful import AsyncRESTfulClient as AsyncClient
    from xinfer.client.async_stream import AsyncStream
    from xinfer.client.handles import RESTfulChatModelHandle, RESTfulGenerateModelHandle
    from xinfer.client.restful import RESTfulClient
    from xinfer.client.restful import RESTfulClient as Client
    from xinfer.client.stream import Stream

__all__ = [
    "AsyncClient",
    "AsyncRESTfulChatModelHandle",
    "AsyncRESTfulClient",
    "AsyncRESTfulGenerateModelHandle",
    "AsyncStream",
    "Client",
    "RESTfulChatModelHandle",
    "RESTfulClient",
    "RESTfulGenerateModelHandle",
    "Stream",
]

_HOMES = {
    "AsyncClient": "async_restful:AsyncRESTfulClient",
    "AsyncRESTfulChatModelHandle": "async_handles:AsyncRESTfulChatModelHandle",
    "AsyncRESTfulClient": "async_restful:AsyncRESTfulClient",
    "AsyncRESTfulGenerateModelHandle": "async_handles:AsyncRESTfulGenerateModelHandle",
    "AsyncStream": "async_stream:AsyncStream",
    "Client": "restful:RESTfulClient",
    "RESTfulChatModelHandle": "handles:RESTfulChatModelHandle",
    "RESTfulClient": "restful:RESTfulClient",
    "RESTfulGenerateModelHandle": "handles:RESTfulGenerateModelHandle",
    "Stream": "stream:Stream",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name].split(":")
    return getattr(import_module(f"{__name__}.{module}"), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
