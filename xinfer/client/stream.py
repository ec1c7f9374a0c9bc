"""The response to a streamed request, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import requests

from xinfer.client._failures import LOST, failure
from xinfer.client._sse import EventReader


def _chunks(response: requests.Response) -> Iterator[dict[str, Any]]:
    reader = EventReader()
    # chunk_size=None gives every piece as it came; a number would wait for so many bytes and delay tokens.
    for piece in response.iter_content(chunk_size=None):
        yield from reader.feed(piece)
    yield from reader.end()


class Stream(Iterator[dict[str, Any]]):
    """An iterator of chunks that gives each as it arrives.

    The connection is closed, and the server stops generating, when the stream ends, fails, is closed or deleted.
    """

    def __init__(self, response: requests.Response, url: str) -> None:
        self._response = response
        self._url = url
        # Not a method: a cycle would keep a forgotten stream open.
        self._chunks = _chunks(response)

    def __next__(self) -> dict[str, Any]:
        try:
            return next(self._chunks)
        except LOST as error:
            self.close()
            raise failure(self._url, error).error from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let the connection go; nothing more comes. Harmless when done twice."""
        self._chunks = iter(())
        self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()
