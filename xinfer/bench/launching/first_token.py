"""The moment at which the first token of a response comes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from xinfer.bench.response import Piece, failure_of_response, parse_json, parse_stream
from xinfer.errors import EngineTimeout, InternalError, LaunchFailed, NotFound, Unavailable, from_response


def first_token(url: str, body: Mapping[str, Any], timeout_s: float) -> float:
    """When it came, on the clock of ``perf_counter``; the response has been read to its end.

    Raises ``Unavailable`` if nothing listens, ``EngineTimeout`` after a silence of ``timeout_s``.
    """
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    content = json.dumps({**body, "stream": True})
    try:
        connection.request("POST", parts.path, content, {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            raise from_response(response.status, parse_json(response.read()))
        return _first_of(response)
    except TimeoutError:
        raise EngineTimeout(f"{url} was silent for {timeout_s:g} s.") from None
    except (OSError, HTTPException) as error:
        raise Unavailable(f"{url} does not answer ({type(error).__name__}).") from error
    finally:
        connection.close()


def awaited_first_token(
    url: str,
    body: Mapping[str, Any],
    timeout_s: float,
    *,
    alive: Callable[[], bool],
    period_s: float,
    look: Callable[[], None] = lambda: None,
) -> float:
    """Of a starting server, which gets a request every ``period_s``, after a ``look``, until one succeeds.

    Raises ``LaunchFailed`` if the server is no longer ``alive``, or no request succeeds within ``timeout_s``.
    """
    deadline = perf_counter() + timeout_s
    while True:
        look()
        try:
            return first_token(url, body, timeout_s)
        # A server on its way up refuses connections, then does not know the model or has no backend for it.
        except (Unavailable, NotFound, InternalError) as error:
            if not alive():
                raise LaunchFailed("It ended before it answered.") from error
            if perf_counter() > deadline:
                raise LaunchFailed(f"It did not answer within {timeout_s:g} s: {error.message}") from error
        time.sleep(period_s)


def _first_of(response: HTTPResponse) -> float:
    pieces: list[Piece] = []
    while piece := response.read1():
        pieces.append((perf_counter(), piece))
    parsed = parse_stream(pieces)
    failure = failure_of_response(parsed)
    if failure:
        raise failure.error
    if not parsed.content_s:
        raise LaunchFailed("The answer has no token in it.")
    return parsed.content_s[0]
