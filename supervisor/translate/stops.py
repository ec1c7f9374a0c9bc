"""Where the answers of a registered family end, besides what the model's own files say: an engine takes that per request only."""

from __future__ import annotations

from typing import Any

from xinfer.messages import ModelSpec


def apply_stops(body: dict[str, Any], spec: ModelSpec) -> bool:
    """Have a chat's answer end where its family's do, unless the body says where; whether that changed it."""
    stops = {"stop": list(spec.stop), "stop_token_ids": list(spec.stop_token_ids)}
    missing = {name: ends for name, ends in stops.items() if ends and body.get(name) is None}
    body.update(missing)
    return bool(missing)
