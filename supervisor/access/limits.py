"""Limits of keys, as one supervisor gives them out: its share of the requests, tokens and places of each key."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from xinfer.errors import BudgetExhausted, RateLimited
from xinfer.messages import ApiKey, KeyLimits, KeyShare

_MINUTE_S = 60.0
_PLACE_RETRY_S = 1.0


class Bucket:
    """A token bucket: holds what a minute gives, and is filled anew as time passes. Debts may take it below zero."""

    __slots__ = ("_at", "capacity", "level", "rate")

    def __init__(self, per_minute: float, now: float) -> None:
        self._give(per_minute)
        self.level = self.capacity
        self._at = now

    def fill(self, now: float) -> None:
        """Add what time has given."""
        self.level = min(self.capacity, self.level + (now - self._at) * self.rate)
        self._at = now

    def resize(self, per_minute: float, now: float) -> None:
        """Give out another amount from now on. What is there does not grow with it: others may give that out still."""
        self.fill(now)
        self._give(per_minute)
        self.level = min(self.level, self.capacity)

    def change(self, per_minute: float, now: float) -> None:
        """The limit is another one from now on. What was used of it counts against that one, too, and a debt stays as it is."""
        self.fill(now)
        used = self.capacity - self.level
        debt = min(0.0, self.level)
        self._give(per_minute)
        # Not below empty: who has used a large limit would wait for many minutes of a small one.
        self.level = max(debt, self.capacity - used)

    def wait_s(self, amount: float) -> float:
        """Seconds until ``amount`` is there; a larger amount than it holds counts as full."""
        lacking = min(amount, self.capacity) - self.level
        return max(0.0, lacking / self.rate)

    def _give(self, per_minute: float) -> None:
        self.capacity = max(1.0, per_minute)
        self.rate = per_minute / _MINUTE_S


class KeyState:
    """What a supervisor knows of the use of one limited key."""

    __slots__ = ("budget_told", "id", "in_flight", "limits", "own", "reported", "requests", "seen", "share", "tokens")

    def __init__(self, key: ApiKey, share: float, now: float) -> None:
        self.id = key.id
        self.limits = key.limits
        self.share = share
        self.requests = _changed(None, key.limits.rpm, share, now)
        self.tokens = _changed(None, key.limits.tpm, share, now)
        self.in_flight = 0
        self.seen = 0
        """Requests that have come since the last report."""
        self.budget_told = 0
        self.reported = 0
        """Tokens of the report that is under way."""
        self.own = 0
        """Tokens since then."""

    def set_limits(self, limits: KeyLimits, budget_used: int, now: float) -> None:
        """Go by other limits; what is under way and what was used go on counting."""
        before = self.limits
        self.limits = limits
        self.requests = _changed(self.requests, limits.rpm, self.share, now)
        self.tokens = _changed(self.tokens, limits.tpm, self.share, now)
        if before.budget_tokens is None or before.budget_period != limits.budget_period:
            # What was told so far was of another period, or nothing.
            self.budget_told = budget_used

    def set_share(self, share: float, now: float) -> None:
        self.share = share
        if self.requests and self.limits.rpm:
            self.requests.resize(self.limits.rpm * share, now)
        if self.tokens and self.limits.tpm:
            self.tokens.resize(self.limits.tpm * share, now)


class Admission:
    """One request of a limited key, from its arrival to its end."""

    __slots__ = ("_estimate", "_now", "_touched", "state")

    def __init__(self, state: KeyState, now: Callable[[], float], touched: set[KeyState]) -> None:
        self.state = state
        self._now = now
        self._touched = touched
        self._estimate = 0

    def admit_tokens(self, estimate: int) -> None:
        """Take what the prompt is going to need from the tokens. Raises ``RateLimited``."""
        tokens = self.state.tokens
        if tokens is None:
            return
        tokens.fill(self._now())
        wait_s = tokens.wait_s(estimate)
        if wait_s > 0:
            raise _limited("tokens per minute (TPM)", self.state.limits.tpm, wait_s)
        tokens.level -= estimate
        self._estimate = estimate

    def settle(self, used: int) -> None:
        """What the request has really used, in the place of its estimate."""
        self.state.own += used
        self._touched.add(self.state)
        tokens = self.state.tokens
        if tokens is not None:
            tokens.level = min(tokens.capacity, tokens.level + self._estimate - used)
        self._estimate = 0

    def end(self) -> None:
        """The request is over."""
        self.state.in_flight -= 1

    def headers(self) -> list[tuple[str, str]]:
        """Where the key stands, in the headers of OpenAI's API."""
        state = self.state
        now = self._now()
        shown: list[tuple[str, str]] = []
        for name, bucket, limit in (
            ("requests", state.requests, state.limits.rpm),
            ("tokens", state.tokens, state.limits.tpm),
        ):
            if bucket is None:
                continue
            bucket.fill(now)
            remaining = max(0, int(bucket.level / state.share))
            reset_s = (bucket.capacity - bucket.level) / bucket.rate
            shown.append((f"x-ratelimit-limit-{name}", str(limit)))
            shown.append((f"x-ratelimit-remaining-{name}", str(min(remaining, limit or 0))))
            shown.append((f"x-ratelimit-reset-{name}", duration(reset_s)))
        return shown


class Limiter:
    """Admits requests by the limits of their keys, as ``supervisors`` supervisors share them. ``now`` is monotonic."""

    def __init__(self, supervisors: int, now: Callable[[], float]) -> None:
        self._share = 1 / supervisors
        self._now = now
        self._states: dict[str, KeyState] = {}
        self._touched: set[KeyState] = set()
        """Those with anything to report: there may be a hundred thousand others."""
        self._reported: set[KeyState] = set()

    def arrive(self, key: ApiKey) -> Admission:
        """A request of ``key`` has come; ``begin`` says whether it may stay."""
        state = self._states.get(key.id)
        if state is None:
            state = KeyState(key, self._share, self._now())
            self._states[key.id] = state
        state.seen += 1
        self._touched.add(state)
        return Admission(state, self._now, self._touched)

    def change(self, key: ApiKey, budget_used: int) -> None:
        """Other limits of ``key`` count from now on. ``budget_used`` is what the whole cluster has used of its budget."""
        state = self._states.get(key.id)
        if state is None:
            state = KeyState(key, self._share, self._now())
            state.budget_told = budget_used
            self._states[key.id] = state
        else:
            state.set_limits(key.limits, budget_used, self._now())

    def begin(self, admission: Admission) -> None:
        """Let the request in, which has to ``end``. Raises ``RateLimited`` or ``BudgetExhausted``."""
        state = admission.state
        limits = state.limits
        if limits.budget_tokens is not None:
            used = state.budget_told + state.reported + state.own
            if used >= limits.budget_tokens:
                raise BudgetExhausted(
                    f"The key has used its budget: {used} of {limits.budget_tokens} tokens of this {limits.budget_period}."
                )
        if limits.concurrency is not None and state.in_flight >= max(1, math.ceil(limits.concurrency * state.share)):
            raise _limited("requests at the same time", limits.concurrency, _PLACE_RETRY_S)
        requests = state.requests
        if requests is not None:
            requests.fill(self._now())
            wait_s = requests.wait_s(1)
            if wait_s > 0:
                raise _limited("requests per minute (RPM)", limits.rpm, wait_s)
            requests.level -= 1
        state.in_flight += 1

    def demand(self) -> dict[str, int]:
        """The requests of each limited key since the last call, for the next report; ``told`` has to follow."""
        seen: dict[str, int] = {}
        for state in self._touched:
            seen[state.id] = seen.get(state.id, 0) + state.seen
            state.seen = 0
            state.reported += state.own
            state.own = 0
        self._reported |= self._touched
        self._touched.clear()
        return seen

    def told(self, shares: Mapping[str, KeyShare]) -> None:
        """The registry has taken the report, and says what it knows."""
        now = self._now()
        for state in self._reported:
            state.budget_told += state.reported
            state.reported = 0
        self._reported.clear()
        for key_id, told in shares.items():
            known = self._states.get(key_id)
            if known is None:
                continue
            known.budget_told = told.budget_used
            share = self._share if told.share is None else told.share
            if abs(share - known.share) > known.share / 100:
                known.set_share(share, now)


def _changed(bucket: Bucket | None, limit: int | None, share: float, now: float) -> Bucket | None:
    """The bucket of a limit that had ``bucket`` so far. Without one nothing was counted, so that a new limit begins full."""
    if limit is None:
        return None
    if bucket is None:
        return Bucket(limit * share, now)
    bucket.change(limit * share, now)
    return bucket


def duration(seconds: float) -> str:
    """A time as OpenAI's headers have it: ``120ms``, ``6s``, ``1m30s``."""
    if seconds < 1:
        return f"{max(0, math.ceil(seconds * 1000))}ms"
    whole = math.ceil(seconds)
    if whole < _MINUTE_S:
        return f"{whole}s"
    return f"{whole // 60}m{whole % 60}s"


def _limited(what: str, limit: int | None, wait_s: float) -> RateLimited:
    return RateLimited(
        f"Rate limit reached for this key on {what}: the limit is {limit}. Please try again in {duration(wait_s)}.",
        retry_after_s=math.ceil(wait_s),
    )
