"""How a model is scaled, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any


def scaling_lines(scaling: dict[str, Any]) -> Iterator[str]:
    """``scaling`` is what the client's ``get_model_scaling`` returns."""
    counts = [f"{scaling[name]} {name}" for name in ("desired", "ready", "starting", "leaving")]
    yield f"Replicas: {', '.join(counts)}."
    config = scaling["autoscaling_config"]
    if config is None:
        yield "Autoscaling: off."
        return
    yield f"Autoscaling: from {scaling['min_replicas']} to {scaling['max_replicas']} replicas now; {_target(config)}."
    for schedule in config["schedules"]:
        yield f"Schedule: {schedule}"
    if scaling["blocked"]:
        yield f"Cannot grow: {scaling['blocked']}"
    if scaling["decisions"]:
        yield "Decisions:"
    for decision in scaling["decisions"]:
        at = datetime.fromtimestamp(decision["at"]).astimezone()
        yield f"  {at:%H:%M:%S}  {decision['before']} to {decision['desired']}: {decision['reason']}"


def _target(config: dict[str, Any]) -> str:
    if config["target_ttft_s"] is not None:
        return f"p90 TTFT is to be at most {config['target_ttft_s']:g} s"
    if config["target_ongoing_requests"] is not None:
        return f"{config['target_ongoing_requests']:g} requests per replica are the target"
    return "a replica is full when its engine has requests waiting"
