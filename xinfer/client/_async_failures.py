"""What aiohttp raises, as the failure it means."""

from __future__ import annotations

import aiohttp

from xinfer.client._responses import Failure, broken, refused, silent

LOST = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError)
"""Everything that can happen to a connection."""


def failure(url: str, error: BaseException) -> Failure:
    """How the attempt failed; the original is kept as the error's cause."""
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        result = refused(url)
    elif isinstance(error, TimeoutError):
        result = silent(url)
    else:
        result = broken(url)
    result.error.__cause__ = error
    return result
