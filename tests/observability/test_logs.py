"""A request of a real model is found in the logs by its id."""

from __future__ import annotations

import json

import requests

from tests.conftest import RunningCluster
from tests.waiting import wait_for


def test_request_by_its_id(cluster: RunningCluster, tiny_chat: str) -> None:
    body = {"model": tiny_chat, "messages": [{"role": "user", "content": "Hello"}], "stream": True, "max_tokens": 8}
    url = f"{cluster.endpoint}/v1/chat/completions"
    with requests.post(url, json=body, headers={"X-Request-Id": "find-me-again"}, timeout=60) as response:
        assert response.headers["x-request-id"] == "find-me-again"
        assert response.content.endswith(b"data: [DONE]\n\n")

    def found() -> str:
        text = cluster.run("logs", "--request", "find-me-again", "--json").stdout
        return text if "outcome=" in text else ""

    lines = json.loads(wait_for(found, 30, "the request's line"))
    (line,) = (each for each in lines if "outcome=ok" in each)
    fields = dict(word.split("=", 1) for word in line.split() if "=" in word)
    assert (fields["request"], fields["model"], fields["status"]) == ("find-me-again", tiny_chat, "200")
    assert 0 < float(fields["ttft_s"]) <= float(fields["duration_s"])
    assert 1 <= int(fields["completion_tokens"]) <= 8
    assert "Hello" not in line
