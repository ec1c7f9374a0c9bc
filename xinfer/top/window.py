"""What the samples of the last half minute say, as a plain class."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from xinfer.top.sample import ModelSample, Sample

WINDOW_S = 30.0


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model. None is what is not known."""

    uid: str
    state: str
    ready: int
    wanted: int
    in_flight: int
    waiting: int | None
    requests_per_s: float | None
    tokens_per_s: float | None
    ttft_p50_s: float | None
    ttft_p90_s: float | None
    kv_cache: float | None


class Window:
    """Takes samples one after the other."""

    def __init__(self, seconds: float = WINDOW_S) -> None:
        self._seconds = seconds
        self._samples: deque[Sample] = deque()

    def add(self, sample: Sample) -> None:
        """Take the latest sample; those that are older than the window are dropped, except for the last of them."""
        self._samples.append(sample)
        while len(self._samples) > 2 and self._samples[1].at <= sample.at - self._seconds:
            self._samples.popleft()

    @property
    def latest(self) -> Sample:
        return self._samples[-1]

    def rows(self) -> list[ModelRow]:
        """The models there are now, by UID."""
        return [self._row(uid, model) for uid, model in sorted(self.latest.models.items())]

    def _row(self, uid: str, model: ModelSample) -> ModelRow:
        before, elapsed_s = self._before(uid, model)
        ttft = _difference(before.ttft, model.ttft)
        tokens_per_s = None
        if model.tokens is not None and before.tokens is not None:
            tokens_per_s = _rate(before.tokens, model.tokens, elapsed_s)
        return ModelRow(
            uid=uid,
            state=model.state,
            ready=model.ready,
            wanted=model.wanted,
            in_flight=model.in_flight,
            waiting=model.waiting,
            requests_per_s=_rate(before.requests, model.requests, elapsed_s),
            tokens_per_s=tokens_per_s,
            ttft_p50_s=quantile(ttft, 0.5),
            ttft_p90_s=quantile(ttft, 0.9),
            kv_cache=model.kv_cache,
        )

    def _before(self, uid: str, model: ModelSample) -> tuple[ModelSample, float]:
        """The model's oldest sample, and how long ago that was."""
        for sample in self._samples:
            if uid in sample.models:
                return sample.models[uid], self.latest.at - sample.at
        return model, 0.0


def _rate(before: float, now: float, elapsed_s: float) -> float | None:
    """None without a difference in time, and when a counter has begun anew: an engine or a supervisor was replaced."""
    if elapsed_s <= 0 or now < before:
        return None
    return (now - before) / elapsed_s


def _difference(before: dict[float, float], now: dict[float, float]) -> dict[float, float]:
    return {bound: count - before.get(bound, 0) for bound, count in now.items()}


def quantile(buckets: dict[float, float], share: float) -> float | None:
    """As Prometheus' ``histogram_quantile``: linear within a bucket. None if nothing was counted, or counters fell."""
    bounds = sorted(buckets)
    if not bounds or buckets[bounds[-1]] <= 0:
        return None
    rank = share * buckets[bounds[-1]]
    lower, below = 0.0, 0.0
    for bound in bounds:
        count = buckets[bound]
        if count >= rank:
            if bound == float("inf"):
                return lower
            return lower + (bound - lower) * (rank - below) / max(count - below, 1e-9)
        lower, below = bound, count
    return lower
