"""What requests raises, as the failure it means."""

from __future__ import annotations

import requests
from urllib3.exceptions import MaxRetryError, NewConnectionError, ReadTimeoutError

from xinfer.client._responses import Failure, broken, refused, silent

LOST = (requests.exceptions.ConnectionError, requests.exceptions.Timeout, requests.exceptions.ChunkedEncodingError)
"""Everything that can happen to a connection."""


def failure(url: str, error: requests.exceptions.RequestException) -> Failure:
    """How the attempt failed; the original is kept as the error's cause."""
    if _is_unsent(error):
        result = refused(url)
    elif _is_timeout(error):
        result = silent(url)
    else:
        result = broken(url)
    result.error.__cause__ = error
    return result


def _inner(error: requests.exceptions.RequestException) -> object:
    if error.args:
        return error.args[0]
    return None


def _is_unsent(error: requests.exceptions.RequestException) -> bool:
    """Whether there was no connection at all, so that nothing can have been done."""
    inner = _inner(error)
    no_connection = isinstance(inner, MaxRetryError) and isinstance(inner.reason, NewConnectionError)
    return no_connection or isinstance(error, requests.exceptions.ConnectTimeout)


def _is_timeout(error: requests.exceptions.RequestException) -> bool:
    # Inside a body, requests gives a timeout the name ConnectionError.
    return isinstance(error, requests.exceptions.Timeout) or isinstance(_inner(error), ReadTimeoutError)
