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
    assert not any("POST / 200" in each for each in lines), "Serve's own line, which says less"
    in_engine = [each for each in lines if "[xinfer] request find-me-again: /v1/chat/completions" in each]
    assert len(in_engine) == 1, "the engine's log"
    there = json.loads(cluster.run("logs", "--request", "find-me-again", "--node", "127.0.0.1", "--json").stdout)
    assert there["logs"][0]["lines"] == lines
    assert "find-me-again" in cluster.run("logs", tiny_chat, "--node", "127.0.0.1").stdout


def test_logs_of_a_node(cluster: RunningCluster) -> None:
    found = json.loads(cluster.run("logs", "--node", "127.0.0.1", "-n", "20", "--json").stdout)
    names = [log["name"] for log in found["logs"]]
    assert {"boot.log", "ray.log"} <= set(names)
    assert any(name.startswith("ray/serve/controller") for name in names), names
    assert "xinfer.registry" in str(found), "the registry's words"
    assert all(0 < len(log["lines"]) <= 20 for log in found["logs"])


def test_doctor_compares_nodes(cluster: RunningCluster) -> None:
    found = json.loads(cluster.run("doctor", "--offline", "--json").stdout)
    (versions,) = (each for each in found if each["subject"] == "versions of nodes")
    assert versions["verdict"] == "ok", versions
    assert "xinfer" in versions["found"]
