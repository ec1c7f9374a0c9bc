"""Grafana's dashboard of API keys: who asks for how much, and what is refused."""

from __future__ import annotations

from xinfer.monitoring.panels import FAULTS, RATE, Dashboard, Row, Variable, one, stat

_K = '{key=~"$key"}'


def _of_key(labels: str) -> str:
    return f'{{key=~"$key",{labels}}}'


_TOKENS = _of_key('kind=~"prompt|completion"')
_PROMPT = _of_key('kind="prompt"')
_COMPLETION = _of_key('kind="completion"')
_CACHED = _of_key('kind="cached"')
_LIMITED = _of_key('outcome="limited"')
_CANCELLED = _of_key('outcome="cancelled"')
_FAILED = _of_key(FAULTS)
_WITH_MODEL = _of_key('model!=""')

TENANTS = Dashboard(
    "xinfer-tenants",
    "xinfer: tenants",
    (
        Row(
            "At a glance",
            (
                stat("Keys in use", f"count(sum by (key) (rate(xinfer_key_requests_total{_K}[{RATE}])) > 0)"),
                stat("Requests per second", f"sum(rate(xinfer_key_requests_total{_K}[{RATE}]))", "reqps"),
                stat("Tokens per second", f"sum(rate(xinfer_key_tokens_total{_TOKENS}[{RATE}]))"),
                stat("Tokens in the last hour", f"sum(increase(xinfer_key_tokens_total{_TOKENS}[1h]))"),
                stat(
                    "Requests refused by limits",
                    f"sum(rate(xinfer_key_requests_total{_LIMITED}[{RATE}])) / "
                    f"sum(rate(xinfer_key_requests_total{_K}[{RATE}]))",
                    "percentunit",
                    "By the keys' own limits and budgets.",
                ),
                stat(
                    "Requests that fail",
                    f"sum(rate(xinfer_key_requests_total{_FAILED}[{RATE}])) / "
                    f"sum(rate(xinfer_key_requests_total{_K}[{RATE}]))",
                    "percentunit",
                    "Failed, broken off or refused because all replicas were full.",
                ),
            ),
        ),
        Row(
            "Requests",
            (
                one("Requests", f"sum by (key) (rate(xinfer_key_requests_total{_K}[{RATE}]))", "{{key}}", "reqps"),
                one(
                    "Requests by outcome",
                    f"sum by (outcome) (rate(xinfer_key_requests_total{_K}[{RATE}]))",
                    "{{outcome}}",
                    "reqps",
                ),
                one(
                    "Refused by limits",
                    f"sum by (key) (rate(xinfer_key_requests_total{_LIMITED}[{RATE}]))",
                    "{{key}}",
                    "reqps",
                    text="Requests, tokens or concurrency of the key, or its budget. `xinfer keys` shows its limits.",
                ),
                one(
                    "Requests by model",
                    f"sum by (key, model) (rate(xinfer_key_requests_total{_WITH_MODEL}[{RATE}]))",
                    "{{key}}: {{model}}",
                    "reqps",
                ),
                one(
                    "Requests that failed",
                    f"sum by (key) (rate(xinfer_key_requests_total{_FAILED}[{RATE}])) / "
                    f"sum by (key) (rate(xinfer_key_requests_total{_K}[{RATE}]))",
                    "{{key}}",
                    "percentunit",
                ),
                one(
                    "Cancelled by clients",
                    f"sum by (key) (rate(xinfer_key_requests_total{_CANCELLED}[{RATE}]))",
                    "{{key}}",
                    "reqps",
                ),
            ),
        ),
        Row(
            "Tokens",
            (
                one(
                    "Tokens of prompts",
                    f"sum by (key) (rate(xinfer_key_tokens_total{_PROMPT}[{RATE}]))",
                    "{{key}}",
                    text="Per second, cached ones included.",
                ),
                one(
                    "Tokens generated",
                    f"sum by (key) (rate(xinfer_key_tokens_total{_COMPLETION}[{RATE}]))",
                    "{{key}}",
                    text="Per second, those of thinking included.",
                ),
                one(
                    "Share of all tokens",
                    f"sum by (key) (rate(xinfer_key_tokens_total{_TOKENS}[{RATE}])) / "
                    f'scalar(sum(rate(xinfer_key_tokens_total{{kind=~"prompt|completion"}}[{RATE}])))',
                    "{{key}}",
                    "percentunit",
                ),
                one(
                    "Tokens by model",
                    f"sum by (key, model) (rate(xinfer_key_tokens_total{_TOKENS}[{RATE}]))",
                    "{{key}}: {{model}}",
                ),
                one(
                    "Prompt tokens from the prefix cache",
                    f"sum by (key) (rate(xinfer_key_tokens_total{_CACHED}[{RATE}])) / "
                    f"sum by (key) (rate(xinfer_key_tokens_total{_PROMPT}[{RATE}]))",
                    "{{key}}",
                    "percentunit",
                    text="As far as responses say it.",
                ),
                one(
                    "Tokens in the last 24 hours",
                    f"sum by (key) (increase(xinfer_key_tokens_total{_TOKENS}[24h]))",
                    "{{key}}",
                    text="For accounts, `xinfer usage` has what was counted exactly.",
                ),
            ),
        ),
    ),
    variables=(Variable("key", "Key", "label_values(xinfer_key_requests_total, key)"),),
)
