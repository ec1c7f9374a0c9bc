"""Requests and tokens by key and model, for the metrics of one supervisor."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, Metric

from xinfer.messages import KeyCounts, Tokens

KeyMetrics = Mapping[tuple[str, str], KeyCounts]
"""By key id and model UID, which is empty for what was refused before it was known."""


class KeyCounter:
    """Counts since its start. Only keys that were checked and models that exist get here: both become labels."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], KeyCounts] = {}

    def ended(self, key_id: str, model: str, outcome: str) -> None:
        """One request has ended."""
        self._of(key_id, model).outcomes[outcome] += 1

    def used(self, key_id: str, model: str, tokens: Tokens) -> None:
        """So much was used since the last time."""
        self._of(key_id, model).tokens.add(tokens)

    def snapshot(self, models: Container[str]) -> dict[tuple[str, str], KeyCounts]:
        """The counts of ``models``, and of no model; those of others are forgotten."""
        self._counts = {pair: counts for pair, counts in self._counts.items() if not pair[1] or pair[1] in models}
        return self._counts

    def _of(self, key_id: str, model: str) -> KeyCounts:
        counts = self._counts.get((key_id, model))
        if counts is None:
            counts = KeyCounts()
            self._counts[key_id, model] = counts
        return counts


def key_metrics(counted: KeyMetrics) -> Iterator[Metric]:
    """Prometheus' metrics of them."""
    requests = CounterMetricFamily(
        "xinfer_key_requests",
        "Requests of each key that have ended, by how they did.",
        labels=("key", "model", "outcome"),
    )
    tokens = CounterMetricFamily(
        "xinfer_key_tokens", "Tokens that were used with each key.", labels=("key", "model", "kind")
    )
    for (key_id, model), counts in counted.items():
        for outcome, count in counts.outcomes.items():
            requests.add_metric([key_id, model, outcome], count)
        if not model:
            continue
        used = counts.tokens
        tokens.add_metric([key_id, model, "prompt"], used.prompt)
        tokens.add_metric([key_id, model, "cached"], used.cached)
        tokens.add_metric([key_id, model, "completion"], used.completion)
        tokens.add_metric([key_id, model, "reasoning"], used.reasoning)
    yield from (requests, tokens)
