"""The blocking client's way to a server: sends calls, retries, shows the key where it is wanted."""

from __future__ import annotations

import threading
import time
from typing import Any, TypeVar

import requests
from requests.adapters import HTTPAdapter

from xinfer import errors
from xinfer.client import _calls, _responses
from xinfer.client._calls import CONNECT_TIMEOUT_S, Call, Json
from xinfer.client._failures import LOST, failure
from xinfer.client._responses import Failure
from xinfer.client._retries import RetryPolicy
from xinfer.client.stream import Stream

T = TypeVar("T")

_IDLE_CONNECTIONS = 128


def _new_session() -> requests.Session:
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=_IDLE_CONNECTIONS))
    return session


class Connection:
    """One server, one key, one session. A session that was handed in is not closed."""

    def __init__(
        self,
        url: str,
        api_key: str | None,
        timeout: float | None,
        retries: RetryPolicy,
        session: requests.Session | None,
    ) -> None:
        self.url = url
        self._api_key = api_key
        self._timeout = timeout
        self._retries = retries
        self._owned = session is None
        self._session = session or _new_session()
        self._wants_key: bool | None = None
        self._lock = threading.Lock()

    def send(self, call: Call[T]) -> T:
        """The value of the response; raises an error of the tree."""
        return self._value(call, self._key())

    def infer(self, call: Call[Json]) -> Json | Stream:
        """The response as a value, or as a stream if the body has ``stream``."""
        if call.streams:
            return Stream(self._open(call, self._key()), self.url)
        return self.send(call)

    def close(self) -> None:
        """Close the session, if it is ours."""
        if self._owned:
            self._session.close()

    def use_key(self, api_key: str) -> None:
        """Show this key from now on, to a server that is known to require one."""
        self._api_key = api_key
        self._wants_key = True

    def _key(self) -> str | None:
        """The key, if there is one and the server requires it, which is looked up at the first call."""
        if self._api_key is None:
            return None
        with self._lock:
            if self._wants_key is None:
                self._wants_key = self._ask_for_auth()
        if self._wants_key:
            return self._api_key
        return None

    def _ask_for_auth(self) -> bool:
        try:
            return self._value(_calls.cluster_auth(), None)
        except errors.NotFound:
            return False

    def _value(self, call: Call[T], key: str | None) -> T:
        with self._open(call, key) as response:
            return _responses.read(call, self.url, response.content)

    def _open(self, call: Call[Any], key: str | None) -> requests.Response:
        """A successful response; the body of a stream is not read yet."""
        retries = 0
        while isinstance(outcome := self._attempt(call, key), Failure):
            delay_s = self._retries.delay_s(outcome, retries)
            if delay_s is None:
                raise outcome.error
            time.sleep(delay_s)
            retries += 1
        return outcome

    def _attempt(self, call: Call[Any], key: str | None) -> requests.Response | Failure:
        try:
            response = self._request(call, key)
            if response.ok:
                return response
            with response:
                return _responses.bad_status(call, response.status_code, response.headers, response.content)
        except LOST as error:
            return failure(self.url, error)

    def _request(self, call: Call[Any], key: str | None) -> requests.Response:
        def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
            # Also without a key: it keeps requests from taking a password out of ~/.netrc.
            if key is not None:
                request.headers["Authorization"] = f"Bearer {key}"
            return request

        return self._session.request(
            call.method,
            self.url + call.path,
            params=call.params,
            json=call.body,
            auth=authorize,
            timeout=(CONNECT_TIMEOUT_S, call.read_timeout_s(self._timeout)),
            stream=call.streams,
        )
