"""``logs --follow`` and ``logs --request``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from tests.client.scripted_server import Answer, ScriptedServer
from xinfer.cli.logs import lines_after

Run = Callable[..., Result]


@pytest.mark.parametrize(
    ("before", "now", "fresh"),
    [
        ([], ["a"], ["a"]),
        (["a", "b"], ["a", "b"], []),
        (["a", "b"], ["b", "c", "d"], ["c", "d"]),
        (["a", "a"], ["a", "a", "a"], ["a"]),
        (["a", "b"], ["x", "y"], ["x", "y"]),
        (["a"], [], []),
    ],
)
def test_what_is_new(before: list[str], now: list[str], fresh: list[str]) -> None:
    assert lines_after(before, now) == fresh


@given(st.lists(st.integers(), unique=True), st.integers(0, 20), st.integers(1, 20))
def test_windows_of_one_log_lose_and_repeat_nothing(numbers: list[int], known: int, window: int) -> None:
    """As long as they overlap."""
    log = [str(number) for number in numbers]
    known = min(known, len(log))
    now = log[-window:]
    if known and len(log) - known < len(now):
        assert lines_after(log[:known], now) == log[known:]


def test_follow_prints_what_comes(run: Run, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(*lines: str) -> Answer:
        return Answer({"replicas": [{"replica_uid": "r1", "lines": list(lines)}]})

    naps = iter([None, None])

    def nap(_: float) -> None:
        if next(naps, "over") == "over":
            raise KeyboardInterrupt

    monkeypatch.setattr("xinfer.cli.logs.time.sleep", nap)
    server.answer("GET", "/v1/models/m/log", told("one"), told("one", "two"), told("one", "two", "three"))
    result = run("logs", "m", "--follow")
    assert (result.exit_code, result.stdout) == (0, "one\ntwo\nthree\n")


def test_request_is_found_in_this_node_s_files(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XINFER_HOME", str(tmp_path))
    for name, text in {
        "requests/1.log": "request=abc model=m\nrequest=other\n",
        "engines/m-r1.log": "abc failed\n",
    }.items():
        file = tmp_path / "logs" / name
        file.parent.mkdir(parents=True)
        file.write_text(text)
    assert run("logs", "--request", "abc").stdout == "request=abc model=m\nabc failed\n"
    missing = run("logs", "--request", "xyz")
    assert missing.exit_code == 1
    assert "No log on this node names 'xyz'" in missing.stderr
    for misuse in (
        ["logs"],
        ["logs", "m", "--request", "abc"],
        ["logs", "m", "--follow", "--json"],
        ["logs", "m", "--follow", "--node", "n"],
        ["logs", "--node", "n", "--follow"],
    ):
        assert run(*misuse).exit_code == 2


def test_logs_on_a_node(run: Run, server: ScriptedServer) -> None:
    server.reply("GET", "/v1/nodes/n/log", {"address": "10.0.0.2", "logs": [{"name": "boot.log", "lines": ["up"]}]})
    assert run("logs", "--node", "n").stdout == "==> boot.log <==\nup\n"
    assert run("logs", "--node", "n", "--request", "abc").stdout == "up\n"
    replicas = [{"replica_uid": name, "lines": [f"of {name}"]} for name in ("r1", "r2")]
    server.reply("GET", "/v1/models/m/log", {"replicas": replicas})
    server.reply("GET", "/v1/nodes/n", {"replicas": [{"model_uid": "m", "replica": "r2"}]})
    assert run("logs", "m", "--node", "n").stdout == "of r2\n"
    server.reply("GET", "/v1/nodes/n", {"replicas": []})
    assert "m has no replica on n" in run("logs", "m", "--node", "n").stderr
