"""A run in sentences, as plain text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xinfer.bench import machine
from xinfer.bench.metrics import EngineUse
from xinfer.bench.result import LevelResult, Result
from xinfer.bench.stats import present, values_of
from xinfer.bench.tables import gpu_busy

Text = Callable[[LevelResult], str | None]
"""The part of a sentence about one level; None for no part."""


def heading(result: Result, stream: bool, turns: int = 1) -> list[str]:
    """The servers, the requests, and the machine that the load was made on."""
    workload = _workload(result, stream, turns)
    return [
        *result.describe_targets(),
        f"{workload}, as the server counts them{_medians(result)}; times in ms",
        *machine.describe(result.machine),
    ]


def _workload(result: Result, stream: bool, turns: int) -> str:
    if stream:
        responses = "streamed answers"
    else:
        responses = "answers in one piece"
    if turns > 1:
        responses += f", conversations of {turns} turns"
    legs = values_of(result.side_results(), "leg")
    prompt_tokens = _counts(values_of(legs, "prompt_tokens"))
    completion_tokens = _counts(values_of(legs, "completion_tokens"))
    return f"{responses}; prompts of {prompt_tokens} tokens, answers of {completion_tokens}"


def _counts(values: Sequence[float]) -> str:
    if not values:
        return "an unknown number of"
    low = round(min(values))
    high = round(max(values))
    if low == high:
        return f"{low}"
    return f"{low} to {high}"


def _medians(result: Result) -> str:
    rounds = len(result.levels[0].rounds)
    if rounds == 1:
        return ""
    if "b" in result.targets:
        return f"; medians of {rounds} pairs"
    return f"; medians of {rounds} rounds"


def summary(result: Result) -> list[str]:
    """The comparison in sentences; nothing without a B."""
    if any("ttft_p50_added_ms" in found.versus for found in result.levels):
        latency = "ttft"
        latency_name = "the time to the first token"
    else:
        latency = "e2e"
        latency_name = "the time to the whole answer"
    levels = result.levels
    sentences = [
        _sentence("Tokens per second, A over B", _median_ratio("tokens_per_s_ratio"), levels),
        _sentence("Requests per second, A over B", _median_ratio("requests_per_s_ratio"), levels),
        _sentence(f"A adds to {latency_name}, p50", _added_latency(f"{latency}_p50"), levels),
    ]
    if "b" in result.targets:
        sentences.append(_sentence("GPUs of this machine busy, A and B", _gpus_busy, levels))
    return present(sentences)


def _sentence(subject: str, text: Text, levels: Sequence[LevelResult]) -> str | None:
    """The text of each level that has one, after the subject; None if no level has one."""
    parts: list[str] = []
    for found in levels:
        part = text(found)
        if part is not None:
            parts.append(f"{part} at {found.level}")
    if not parts:
        return None
    return f"{subject}: {', '.join(parts)}."


def _median_ratio(name: str) -> Text:
    def text(found: LevelResult) -> str | None:
        values = found.versus.get(name)
        if values is None:
            return None
        return f"{values.median:.3f}"

    return text


def _added_latency(name: str) -> Text:
    def text(found: LevelResult) -> str | None:
        in_ms = found.versus.get(f"{name}_added_ms")
        in_percent = found.versus.get(f"{name}_added_percent")
        if in_ms is None or in_percent is None:
            return None
        return f"{in_ms.median:.1f} ms ({in_percent.median:+.1f} %)"

    return text


def _gpus_busy(found: LevelResult) -> str | None:
    a = gpu_busy(found.median_leg("a"))
    b = gpu_busy(found.median_leg("b"))
    if a is None or b is None:
        return None
    return f"{a} and {b}"


def warnings(result: Result) -> list[str]:
    """Reasons not to trust the metrics."""
    lines: list[str] = []
    for side, level, leg in result.side_results():
        where = f"{side.upper()}, {level}"
        if leg.own_cpu_share > 0.9:
            share = f"{leg.own_cpu_share:.0%} of a core"
            lines.append(f"{where}: the generator took {share}; it may be what was measured.")
        if leg.behind:
            late = f"{leg.late_p99_ms:.0f} ms at p99"
            lines.append(f"{where}: behind schedule, by {late}; the rate was not reached.")
        if leg.requests and leg.completion_tokens is None:
            counted = "events with content are counted in their place"
            lines.append(f"{where}: the server counts no tokens; {counted}.")
    return lines + _engines_without_counters(result)


def _engines_without_counters(result: Result) -> list[str]:
    legs = values_of(result.side_results(), "leg")
    uses: list[EngineUse] = values_of(legs, "engines")
    silent = [url for url in result.engines if _lacks_counters(url, uses)]
    return [f"{url}/metrics has no counters of vLLM's; figures of engines are left out." for url in silent]


def _lacks_counters(url: str, uses: Sequence[EngineUse]) -> bool:
    return any(url not in use.prompt_tokens for use in uses)
