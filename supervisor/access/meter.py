"""One request of a key on its way to an engine and back: admitted, counted, settled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from supervisor.access.caller import Caller
from supervisor.access.limits import Admission, Limiter
from supervisor.access.live_keys import LiveKeys
from supervisor.access.token_counter import TokenCounter
from supervisor.gateway.outcome import outcome_of
from xinfer.errors import BudgetExhausted, ModelOverloaded, RateLimited, XinferError
from xinfer.messages import LIMITED, Tokens

_FIRST_GUESS = 0.25
"""Tokens per byte of a request's body, before anything is known of a model."""
_LEARNED = 0.1


class PromptEstimator:
    """How many tokens a body of so many bytes is, by what the bodies before it were."""

    def __init__(self) -> None:
        self._ratios: dict[str, float] = {}

    def estimate(self, model: str, size: int) -> int:
        """Tokens of the prompt in ``size`` bytes, 1 at least."""
        return max(1, round(size * self._ratios.get(model, _FIRST_GUESS)))

    def learn(self, model: str, size: int, tokens: int) -> None:
        """A body of ``size`` bytes had so many tokens."""
        known = self._ratios.get(model, _FIRST_GUESS)
        self._ratios[model] = known + _LEARNED * (tokens / size - known)


class Meter:
    """As a context manager around the whole request. Raises ``RateLimited`` or ``BudgetExhausted`` at its start."""

    # Slots and plain attributes: every request makes one of these.
    __slots__ = (
        "_admission",
        "_broken",
        "_counted",
        "_counter",
        "_estimator",
        "_limiter",
        "_live",
        "_model",
        "_on_settled",
        "_size",
        "caller",
    )

    def __init__(self, caller: Caller, limiter: Limiter, live: LiveKeys, estimator: PromptEstimator) -> None:
        self.caller = caller
        self._limiter = limiter
        self._live = live
        self._estimator = estimator
        self._admission: Admission = limiter.arrive(caller.key)
        self._counter = TokenCounter()
        self._counted = Tokens()
        self._model = ""
        self._size = 0
        self._broken = False
        self._on_settled: Callable[[int], None] | None = None

    def __enter__(self) -> Meter:
        try:
            self._limiter.begin(self._admission)
        except (RateLimited, BudgetExhausted):
            self._live.count(self.caller.key.id, "", Tokens(refused=1))
            self._live.counter.ended(self.caller.key.id, "", LIMITED)
            raise
        return self

    def admit(self, model: str, size: int) -> None:
        """The request is for ``model``, which exists, and its body has ``size`` bytes. Raises ``RateLimited``."""
        self._model = model
        self._admission.admit_tokens(self._estimator.estimate(model, size))
        self._size = size
        self._live.follow(self)

    @property
    def prompt_estimate(self) -> int:
        """Tokens of the prompt, as far as is known before the engine says."""
        return self._estimate()

    def on_settled(self, settled: Callable[[int], None]) -> None:
        """Have ``settled`` called with the tokens that the request has used, at its end."""
        self._on_settled = settled

    @property
    def feed(self) -> Callable[[bytes], None]:
        """Takes each piece of a stream."""
        return self._counter.feed

    def whole(self, body: bytes) -> None:
        """Takes a response that is no stream."""
        self._counter.whole(body)

    @contextmanager
    def stream(self, end: Callable[[], None]) -> Iterator[None]:
        """While a stream is open, ``end`` ends it: if the key is revoked at once."""
        key_id = self.caller.key.id
        self._live.opened(key_id, end)
        try:
            yield
        finally:
            self._live.closed(key_id, end)

    def headers(self) -> list[tuple[str, str]]:
        """Where the key stands with its limits."""
        return self._admission.headers()

    def breaks_off(self) -> None:
        """The response ends with an error after its status has been sent."""
        self._broken = True

    def count_so_far(self) -> None:
        """Count what has been used since the last time: a long stream must not be lost with its supervisor."""
        if self._counter.events:
            self._count(self._used())

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        self._live.forget(self)
        self._admission.end()
        key_id = self.caller.key.id
        if isinstance(error, RateLimited | BudgetExhausted | ModelOverloaded):
            self._settle(0)
            self._live.count(key_id, self._model, Tokens(refused=1))
            self._live.counter.ended(key_id, self._model, LIMITED)
            return
        self._live.counter.ended(key_id, self._model, outcome_of(error, broken=self._broken))

        if error is not None and not self._counter.events and not isinstance(error, XinferError):
            # The client has left while the engine was at work, and nobody says for how long.
            used = Tokens(requests=1, prompt=self._estimate())
        else:
            used = self._used()
            if self._counter.is_exact and self._size:
                self._estimator.learn(self._model, self._size, used.prompt)
        self._count(used)
        self._settle(used.prompt + used.completion)

    def _settle(self, tokens: int) -> None:
        self._admission.settle(tokens)
        if self._on_settled:
            self._on_settled(tokens)

    def _used(self) -> Tokens:
        used = self._counter.tokens(self._estimate())
        used.requests = 1
        return used

    def _estimate(self) -> int:
        if not self._size:
            return 0
        return self._estimator.estimate(self._model, self._size)

    def _count(self, used: Tokens) -> None:
        before = self._counted
        news = Tokens(
            used.requests - before.requests,
            used.prompt - before.prompt,
            used.cached - before.cached,
            used.completion - before.completion,
            used.reasoning - before.reasoning,
        )
        self._counted = Tokens(used.requests, used.prompt, used.cached, used.completion, used.reasoning)
        self._live.count(self.caller.key.id, self._model, news)
