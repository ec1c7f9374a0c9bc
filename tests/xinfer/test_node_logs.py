"""A node's logs, as its agent reads them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xinfer import node_logs


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("XINFER_CLUSTER_ID", raising=False)
    texts = {
        "logs/boot.log": "1\n2\n3\n",
        "logs/ray.log": "",
        "logs/requests/7.log": "request=abc status=200\nrequest=other status=200\n",
        "logs/engines/m-1.log": "INFO [xinfer] request abc: /v1/chat/completions\nINFO ready\n",
        "ray/session_latest/logs/serve/controller.log": "c\n",
        "ray/session_latest/logs/worker-1.err": ":job_id:01000000\nr\n",
        "ray/session_latest/logs/worker-2.err": ":job_id:01000000\n:actor_name:NodeAgent\n",
        "ray/session_latest/logs/raylet.out": "nothing of ours\n",
    }
    for number, (name, text) in enumerate(texts.items()):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (1000 + number, 1000 + number))
    return tmp_path


def test_last_lines(home: Path) -> None:
    assert node_logs.last_lines(home, 2) == [
        ("boot.log", ["2", "3"]),
        ("requests/7.log", ["request=abc status=200", "request=other status=200"]),
        ("ray/serve/controller.log", ["c"]),
        ("ray/worker-1.err", ["r"]),
    ]


def test_lines_about_a_request(home: Path) -> None:
    ((_, lines),) = node_logs.about_request(home, "abc")
    assert lines == ["request=abc status=200", "INFO [xinfer] request abc: /v1/chat/completions"]
    assert node_logs.about_request(home, "nothing") == []


def test_home_without_logs(tmp_path: Path) -> None:
    assert node_logs.last_lines(tmp_path / "none", 5) == []
