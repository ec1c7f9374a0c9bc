"""Samples and figures as a leg gives them, without a server."""

from __future__ import annotations

from typing import Any

from xinfer.bench.metrics import Leg, LegMetrics
from xinfer.bench.plan import Level
from xinfer.bench.result import LevelResult, Result, Round
from xinfer.bench.sample import Failure, Sample
from xinfer.bench.target import Server, Target
from xinfer.errors import ModelOverloaded

OVERLOADED = Failure("429 model_overloaded", ModelOverloaded("full"))


def sample(started_s: float = 0.0, ttft_s: float = 0.1, gap_s: float = 0.01, tokens: int = 11, **facts: Any) -> Sample:
    """A streamed answer, a token in every event."""
    content = tuple(started_s + ttft_s + gap_s * number for number in range(tokens))
    return Sample(started_s, content[-1], content, **{"prompt_tokens": 20, "completion_tokens": tokens, **facts})


def failed(started_s: float = 0.0) -> Sample:
    return Sample(started_s, started_s + 0.001, failure=OVERLOADED)


def whole(started_s: float = 0.0, took_s: float = 0.2) -> Sample:
    """An answer in one piece."""
    return Sample(started_s, started_s + took_s, prompt_tokens=20, completion_tokens=16)


def leg(*samples: Sample, wall_s: float = 1.0, own_cpu_s: float = 0.1, **cpu_s: float) -> LegMetrics:
    return LegMetrics.of(Leg(samples, wall_s, own_cpu_s, cpu_s))


def result(*rounds: Round, level: Level | None = None) -> Result:
    """Of one level; ``a`` and, if the rounds have one, ``b``."""
    targets = {side: Target(Server(f"http://{side}:1"), "m") for side in sorted(rounds[0].legs)}
    return Result(targets, (LevelResult(level or Level("concurrency", 8), rounds),))
