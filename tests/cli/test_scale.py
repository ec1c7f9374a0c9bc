"""``scale``, and the options of ``launch`` for autoscaling."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from tests.client.scripted_server import ScriptedServer

Run = Callable[..., Result]
CONFIG = {"target_ongoing_requests": None, "target_ttft_s": 0.5, "schedules": ["daily min=2"]}
SCALING: dict[str, Any] = {
    "desired": 3,
    "ready": 1,
    "starting": 2,
    "leaving": 0,
    "min_replicas": 2,
    "max_replicas": 8,
    "autoscaling_config": CONFIG,
    "blocked": "3 GPUs are asked for",
    "decisions": [{"at": 1.0, "before": 1, "desired": 3, "reason": "12 requests"}],
}


@pytest.fixture(autouse=True)
def scaled(server: ScriptedServer) -> None:
    for method in ("GET", "POST"):
        server.reply(method, "/v1/models/m/scale", SCALING)
    server.reply("POST", "/v1/models", {"model_uid": "m"})


@pytest.mark.parametrize(
    ("args", "body"),
    [
        (["3"], {"replicas": 3}),
        (["--min", "0", "--max", "8"], {"autoscaling_config": {"min_replicas": 0, "max_replicas": 8}}),
        (["--target-requests", "16"], {"autoscaling_config": {"target_ongoing_requests": 16.0}}),
        (["--target-ttft", "0.5", "--priority", "2"], {"autoscaling_config": {"target_ttft_s": 0.5, "priority": 2.0}}),
        (["--schedule", "a", "--schedule", "b"], {"autoscaling_config": {"schedules": ["a", "b"]}}),
        (["--fixed"], {"autoscaling_config": False}),
    ],
)
def test_sent(run: Run, server: ScriptedServer, args: list[str], body: dict[str, Any]) -> None:
    result = run("scale", "m", *args)
    assert result.exit_code == 0, result.stderr
    assert (server.asked[-1].method, server.asked[-1].body) == ("POST", body)


def test_shown(run: Run, server: ScriptedServer) -> None:
    lines = run("scale", "m").stdout.splitlines()
    assert server.asked[-1].method == "GET"
    assert lines[:4] == [
        "Replicas: 3 desired, 1 ready, 2 starting, 0 leaving.",
        "Autoscaling: from 2 to 8 replicas now; p90 TTFT is to be at most 0.5 s.",
        "Schedule: daily min=2",
        "Cannot grow: 3 GPUs are asked for",
    ]
    assert lines[-1].endswith("1 to 3: 12 requests")
    assert json.loads(run("scale", "m", "--json").stdout) == SCALING
    assert "Replicas: 3 desired" in run("describe", "m").stdout


@pytest.mark.parametrize("args", [["3", "--max", "4"], ["--fixed", "--min", "1"], ["0"], ["3", "--fixed"]])
def test_misuse(run: Run, args: list[str]) -> None:
    assert run("scale", "m", *args).exit_code == 2


def test_launch(run: Run, server: ScriptedServer) -> None:
    options = ["--min-replicas", "0", "--max-replicas", "8", "--scale-up-delay", "1", "--scale-down-delay", "60"]
    result = run("launch", "qwen3", "--no-wait", *options, "--schedule", "daily min=2")
    assert result.exit_code == 0, result.stderr
    sent = next(asked for asked in server.asked if asked.path == "/v1/models" and asked.method == "POST")
    assert sent.body["autoscaling_config"] == {
        "min_replicas": 0,
        "max_replicas": 8,
        "upscale_delay_s": 1.0,
        "downscale_delay_s": 60.0,
        "schedules": ["daily min=2"],
    }
