"""A steady mixed load, with the retries of OpenAI's SDK, and what became of each request."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import requests

from tests.soak.cluster import MODEL

CHAT = "/v1/chat/completions"
MAX_RETRIES = 2
_FIRST_DELAY_S = 0.5
_MAX_DELAY_S = 8.0
_TIMEOUT_S = (5.0, 60.0)
_PAUSES_S = (0.2, 0.9)
_TOKENS = (8, 32)
_EVENTS_BEFORE_LEAVING = 3


class Shape(StrEnum):
    """What a client does."""

    STREAM = "stream"
    WHOLE = "whole response"
    LEAVING = "leaves early"  # a stream that is closed after a few events
    BAD = "bad request"  # must be answered with 4xx


_SHARES = {Shape.STREAM: 50, Shape.WHOLE: 25, Shape.LEAVING: 15, Shape.BAD: 10}
_BAD_FIELDS: tuple[dict[str, Any], ...] = (
    {"messages": []},
    {"model": "nobody"},
    {"model": 7},
    {"temperature": -1},
    {"max_tokens": 5000},
    {"messages": [{"content": "no role"}]},
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One HTTP request. Times are of the monotonic clock."""

    began_at: float
    ended_at: float
    failure: str = ""
    """Empty if it succeeded."""
    wrong: str = ""
    """What no failure of a part explains, such as a bad request that was answered with 200."""
    retry_after_s: float | None = None
    retryable: bool = True


@dataclass(frozen=True, slots=True)
class Result:
    """One request of a client, with all its attempts."""

    shape: Shape
    attempts: tuple[Attempt, ...]

    @property
    def succeeded(self) -> bool:
        return not self.attempts[-1].failure

    @property
    def succeeded_at_once(self) -> bool:
        return not self.attempts[0].failure

    @property
    def seconds(self) -> float:
        return self.attempts[-1].ended_at - self.attempts[0].began_at


class Sender:
    """One client with its connections; used by one thread."""

    def __init__(self, endpoint: str, rng: random.Random) -> None:
        self._url = endpoint + CHAT
        self._rng = rng
        self._session = requests.Session()

    def close(self) -> None:
        self._session.close()

    def send(self, shape: Shape, model: str = MODEL) -> Result:
        """One request, repeated up to ``MAX_RETRIES`` times where OpenAI's SDK does, or if its stream broke off."""
        body = self._body(shape, model)
        attempts: list[Attempt] = []
        while True:
            attempts.append(self._attempt(shape, body))
            last = attempts[-1]
            if not last.failure or not last.retryable or len(attempts) > MAX_RETRIES:
                return Result(shape, tuple(attempts))
            time.sleep(self._delay_s(last, len(attempts) - 1))

    def _body(self, shape: Shape, model: str) -> dict[str, Any]:
        prompt = f"Tell me about the number {self._rng.randrange(1000)}."
        body: dict[str, Any] = {
            "model": model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": self._rng.randint(*_TOKENS),
            "stream": shape in (Shape.STREAM, Shape.LEAVING),
        }
        if shape is Shape.LEAVING:
            body |= {"max_tokens": 200, "ignore_eos": True}
        if shape is Shape.BAD:
            body |= self._rng.choice(_BAD_FIELDS)
        return body

    def _delay_s(self, failed: Attempt, retries: int) -> float:
        if failed.retry_after_s is not None:
            return failed.retry_after_s
        return min(_FIRST_DELAY_S * 2.0**retries, _MAX_DELAY_S) * self._rng.uniform(0.75, 1.0)

    def _attempt(self, shape: Shape, body: dict[str, Any]) -> Attempt:
        began_at = time.monotonic()
        try:
            with self._session.post(self._url, json=body, stream=True, timeout=_TIMEOUT_S) as reply:
                facts = _read(shape, reply)
        except requests.RequestException as error:
            facts = {"failure": type(error).__name__}
        except (ValueError, LookupError, TypeError) as error:
            facts = {"failure": "unreadable", "wrong": f"a response that cannot be read: {error!r}"}
        return Attempt(began_at, time.monotonic(), **facts)


def _read(shape: Shape, reply: requests.Response) -> dict[str, Any]:
    """Fields of an ``Attempt``."""
    status = reply.status_code
    if shape is Shape.BAD and 400 <= status < 500 and status != 429:
        return _check_error_body(reply)
    if status != 200:
        delay = reply.headers.get("retry-after")
        return {
            "failure": f"status {status}: {reply.text[:200]}",
            "retry_after_s": float(delay) if delay else None,
            "retryable": status in (408, 409, 429) or status >= 500,
        }
    match shape:
        case Shape.BAD:
            return {"failure": "status 200", "wrong": "a bad request was answered with 200", "retryable": False}
        case Shape.WHOLE:
            text = reply.json()["choices"][0]["message"]["content"]
            return {} if text is not None else {"failure": "empty", "wrong": "a response without content"}
        case Shape.LEAVING:
            return _read_events(reply, _EVENTS_BEFORE_LEAVING)
        case Shape.STREAM:
            return _read_events(reply, None)


def _check_error_body(reply: requests.Response) -> dict[str, Any]:
    try:
        message = reply.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = ""
    return {} if message else {"wrong": f"a {reply.status_code} without an error's body"}


def _read_events(reply: requests.Response, leave_after: int | None) -> dict[str, Any]:
    count = 0
    is_done = False
    error = ""
    for line in reply.iter_lines():
        if not line.startswith(b"data: "):
            continue
        if is_done or error:
            return {"failure": "more", "wrong": "an event after the end of a stream"}
        data = line.removeprefix(b"data: ")
        if data == b"[DONE]":
            is_done = True
            continue
        event = json.loads(data)
        if "error" in event:
            error = str(event["error"]["message"])
        count += 1
        if count == leave_after and not error:
            return {}
    if error:
        return {"failure": f"error event: {error}"}
    if not is_done:
        return {"failure": "cut"}
    if count < 2:
        return {"failure": "empty", "wrong": "a stream without content"}
    return {}


@dataclass
class Load:
    """Clients in threads, while ``running``. Results of all times are kept."""

    endpoint: str
    clients: int
    seed: int
    _results: list[list[Result]] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator[None]:
        """The load goes on until the block ends, and the last requests have ended then."""
        over = threading.Event()
        results: list[list[Result]] = [[] for _ in range(self.clients)]
        rounds = len(self._results)
        threads = [
            threading.Thread(target=self._client, args=(f"{self.seed}-{rounds + number}", over, kept))
            for number, kept in enumerate(results)
        ]
        self._results.extend(results)
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()

    @property
    def results(self) -> list[Result]:
        """All requests that have ended."""
        return [result for kept in self._results for result in kept]

    def _client(self, seed: str, over: threading.Event, results: list[Result]) -> None:
        rng = random.Random(seed)
        sender = Sender(self.endpoint, rng)
        shapes, weights = list(_SHARES), list(_SHARES.values())
        while not over.wait(rng.uniform(*_PAUSES_S)):
            (shape,) = rng.choices(shapes, weights)
            results.append(sender.send(shape))
        sender.close()
