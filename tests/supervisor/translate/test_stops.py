"""Where answers of a registered family end."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from supervisor.translate.engine_request import build_engine_request
from tests.supervisor.samples import spec
from xinfer.wire.paths import CHAT

STOPS = {"stop": ("<|end|>",), "stop_token_ids": (7, 8)}


def sent(of: dict[str, Any], **body: Any) -> dict[str, Any]:
    """What of a chat's stops reaches the engine."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], **body}
    request = build_engine_request(CHAT, msgspec.json.encode(body), body, spec(**of))
    found = msgspec.json.decode(request.body)
    return {name: found[name] for name in STOPS if name in found}


@pytest.mark.parametrize(
    ("of", "body", "ends"),
    [
        (STOPS, {}, {"stop": ["<|end|>"], "stop_token_ids": [7, 8]}),
        (STOPS, {"stop": None, "stop_token_ids": [9]}, {"stop": ["<|end|>"], "stop_token_ids": [9]}),
        (STOPS, {"stop": []}, {"stop": [], "stop_token_ids": [7, 8]}),
        (STOPS, {"stop": "x", "stop_token_ids": []}, {"stop": "x", "stop_token_ids": []}),
        ({}, {}, {}),
        ({}, {"stop": "x"}, {"stop": "x"}),
    ],
)
def test_the_request_has_the_last_word(of: dict[str, Any], body: dict[str, Any], ends: dict[str, Any]) -> None:
    assert sent(of, **body) == ends
