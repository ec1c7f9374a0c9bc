"""The goals for xinfer's speed, and what one run of the suite has measured of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.performance.tables import markdown

XINFER = "xinfer"
DIRECTLY = "xinfer's engine, directly"
BARE = "bare vLLM"
BARE_WITH_PARSERS = "bare vLLM with parsers"
RAY_SERVE_LLM = "Ray Serve LLM, direct streaming"
_STREAMS = "streams"
_RATES = "requests per second"
_NOWHERE: Mapping[str, float] = {}

Samples = Mapping[str, list[Any]]
"""What each server did in each round, and under their names the costs: seconds, or what idling takes."""


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal with the figure that was measured."""

    name: str
    wanted: str
    measured: str
    reached: bool


def goals(samples: Samples) -> list[Goal]:
    """All of them. Ratios are medians of the rounds' ratios, one for each number of streams."""
    return [
        _ratio(samples, BARE_WITH_PARSERS, 1.0, {"64": 1.15, "128": 1.15}),
        _ratio(samples, BARE, 0.97),
        _ratio(samples, RAY_SERVE_LLM, 1.05),
        _ttft_no_worse(samples, RAY_SERVE_LLM),
        _ratio(samples, DIRECTLY, 0.97),
        _at_most("added TTFT, one stream, p50, ms", 1.0, _added_ttft_ms(samples)),
        _at_most("CPU per streamed chunk, the most streams up to 64, µs", 100.0, _chunk_us(samples[XINFER])),
        _at_most(
            "CPU per complete response in the supervisor, µs", 300.0, median(samples["supervisor_us_per_response"])
        ),
        _at_most("launch to first token, s", 1.2, median(samples["launch_to_first_token_s"])),
        _at_most("`xinfer start --launch tiny-chat`, s", 8.0, median(samples["start_with_launch_s"])),
        _at_most("idle with tiny-chat, % of a core", 5.0, samples["idle with tiny-chat"][0]["cpu_percent"]),
        _at_most("memory without engines, MiB", 1536.0, samples["idle without a model"][0]["memory_mib"]),
        _at_most("... without fork server", 921.6, samples["idle without fork server"][0]["memory_mib"]),
    ]


def as_table(found: Sequence[Goal]) -> str:
    """In Markdown."""
    rows = [[each.name, each.wanted, each.measured, "yes" if each.reached else "no"] for each in found]
    return markdown(["goal", "wanted", "measured", "reached"], rows)


def _at_most(name: str, limit: float, measured: float) -> Goal:
    return Goal(name, f"≤ {limit:g}", f"{measured:.4g}", measured <= limit)


def _ratio(samples: Samples, other: str, limit: float, at_streams: Mapping[str, float] = _NOWHERE) -> Goal:
    """Tokens per second of xinfer over those of another server, by the number of streams; some of these have another limit."""
    measured = []
    reached = True
    for column, level in enumerate(_levels(samples, _STREAMS)):
        ratio = median(_ratios(samples[XINFER], samples[other], column))
        measured.append(f"{ratio:.2f}")
        reached = reached and ratio >= at_streams.get(level, limit)
    wanted = [f"≥ {limit:g}", *(f"at {level} streams {special:g}" for level, special in at_streams.items())]
    return Goal(f"tokens/s over {other}", ", ".join(wanted), " / ".join(measured), reached)


def _ratios(rounds: Sequence[Any], others: Sequence[Any], column: int) -> list[float]:
    field = "tokens_per_s"
    return [
        mine[_STREAMS][column][field] / other[_STREAMS][column][field]
        for mine, other in zip(rounds, others, strict=True)
    ]


def _ttft_no_worse(samples: Samples, other: str) -> Goal:
    """TTFT of both at each rate of requests."""
    measured = []
    reached = True
    for column, _ in enumerate(_levels(samples, _RATES)):
        mine, theirs = (_ttft_ms(samples[name], _RATES, column) for name in (XINFER, other))
        measured.append(f"{mine:.0f} and {theirs:.0f}")
        reached = reached and mine <= theirs
    return Goal(f"TTFT p50 beside {other}, ms", "no worse", " / ".join(measured), reached)


def _ttft_ms(rounds: Sequence[Any], load: str, column: int) -> float:
    return median(each[load][column]["ttft_p50_ms"] for each in rounds)


def _added_ttft_ms(samples: Samples) -> float:
    through, direct = (_ttft_ms(samples[name], _STREAMS, 0) for name in (XINFER, DIRECTLY))
    return through - direct


def _chunk_us(rounds: Sequence[Any]) -> float:
    """Of all watched processes together."""
    column = max(number for number, sample in enumerate(rounds[0][_STREAMS]) if int(sample["level"]) <= 64)
    return median(sum(each[_STREAMS][column]["us_per_chunk"].values()) for each in rounds)


def _levels(samples: Samples, load: str) -> list[str]:
    return [sample["level"] for sample in samples[XINFER][0][load]]
