"""Launches and terminations of a second model, on the fake engine, one after the other."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.soak.cluster import MODEL_FOLDER
from tests.soak.load import MAX_RETRIES, Sender, Shape
from xinfer.client import RESTfulClient
from xinfer.errors import Conflict, ModelNotFound, XinferError

_READY_WITHIN_S = 90.0
_GONE_WITHIN_S = 60.0
_POLL_PERIOD_S = 0.5
_RETRY_DELAY_S = 2.0


@dataclass(frozen=True, slots=True)
class LaunchResult:
    """One model: launched, asked, terminated."""

    uid: str
    began_at: float
    """Monotonic."""
    ready_s: float | None = None
    failure: str = ""
    """Why it failed although every step was repeated; empty if it succeeded."""
    retried: tuple[str, ...] = ()
    """Errors after which a step was repeated."""


@dataclass
class Launches:
    """Launches a model every ``period_s`` seconds while ``running``, in a thread; or several in a row."""

    endpoint: str
    period_s: float
    seed: int
    results: list[LaunchResult] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Launches go on until the block ends; the last one is complete then."""
        over = threading.Event()
        thread = threading.Thread(target=self._run, args=(over,))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def in_a_row(self, count: int) -> None:
        """Launch and terminate ``count`` models without a pause."""
        with self._connected() as (client, sender):
            for _ in range(count):
                self._add_one(client, sender)

    def _run(self, over: threading.Event) -> None:
        with self._connected() as (client, sender):
            next_at = time.monotonic() + self.period_s / 4
            while not over.wait(max(0.0, next_at - time.monotonic())):
                next_at = time.monotonic() + self.period_s
                self._add_one(client, sender)

    @contextmanager
    def _connected(self) -> Iterator[tuple[RESTfulClient, Sender]]:
        sender = Sender(self.endpoint, random.Random(f"{self.seed}-launches"))
        with RESTfulClient(self.endpoint, max_retries=0, timeout=30) as client:
            yield client, sender
        sender.close()

    def _add_one(self, client: RESTfulClient, sender: Sender) -> None:
        self.results.append(_one(client, sender, f"second-{len(self.results)}"))


def _one(client: RESTfulClient, sender: Sender, uid: str) -> LaunchResult:
    began_at = time.monotonic()
    retried: list[str] = []
    ready_s: float | None = None
    failure = ""
    try:
        _retry(lambda: _launch(client, uid), retried)
        _wait(lambda: _is_ready(client, uid), _READY_WITHIN_S, retried, "READY")
        ready_s = time.monotonic() - began_at
        for shape in (Shape.STREAM, Shape.WHOLE):
            result = sender.send(shape, uid)
            if not result.succeeded:
                failure = f"a request failed: {result.attempts[-1].failure}"
    except (XinferError, TimeoutError) as error:
        failure = f"{type(error).__name__}: {error}"

    try:
        _retry(lambda: _terminate(client, uid), retried)
        _wait(lambda: uid not in client.list_models(), _GONE_WITHIN_S, retried, "gone")
    except (XinferError, TimeoutError) as error:
        failure = failure or f"at the end: {type(error).__name__}: {error}"
    return LaunchResult(uid, began_at, ready_s, failure, tuple(retried))


def _launch(client: RESTfulClient, uid: str) -> None:
    try:
        client.launch_model(
            "fake", model_engine="fake", model_uid=uid, model_path=str(MODEL_FOLDER), n_gpu=None, wait_ready=False
        )
    except Conflict:
        # An attempt whose response was lost has launched it.
        client.describe_model(uid)


def _terminate(client: RESTfulClient, uid: str) -> None:
    try:
        client.terminate_model(uid)
    except ModelNotFound:
        return


def _is_ready(client: RESTfulClient, uid: str) -> bool:
    instances = client.get_instance_info(None, uid)
    return bool(instances) and instances[0]["status"] == "READY"


def _retry(step: Callable[[], None], retried: list[str]) -> None:
    """Up to ``MAX_RETRIES`` more attempts after errors that a repetition can help."""
    for _ in range(MAX_RETRIES):
        try:
            return step()
        except XinferError as error:
            if not error.retryable:
                raise
            retried.append(f"{type(error).__name__}: {error}")
            time.sleep(error.retry_after_s or _RETRY_DELAY_S)
    return step()


def _wait(condition: Callable[[], bool], timeout_s: float, retried: list[str], what: str) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            if condition():
                return
        except XinferError as error:
            if not error.retryable:
                raise
            retried.append(f"{type(error).__name__}: {error}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"not {what} within {timeout_s:g} s")
        time.sleep(_POLL_PERIOD_S)
