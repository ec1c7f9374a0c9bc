"""``list``, ``describe``, ``terminate`` and ``logs``."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import Result

from tests.client.scripted_server import ScriptedServer

Run = Callable[..., Result]


def test_list(run: Run) -> None:
    head, row = run("list").stdout.splitlines()
    assert head.split()[:2] == ["UID", "NAME"]
    assert row.split()[:2] == ["m", "qwen3"]
    assert json.loads(run("list", "--json").stdout) == [{"id": "m", "model_name": "qwen3", "replica": 2}]


def test_list_shows_who_sleeps(run: Run, server: ScriptedServer) -> None:
    server.reply("GET", "/v1/models", {"data": [{"id": "a", "status": "READY"}, {"id": "b", "status": "SLEEPING"}]})
    head, *rows = run("list").stdout.splitlines()
    column = head.split().index("STATUS")
    assert [(row.split()[0], row.split()[column]) for row in rows] == [("a", "READY"), ("b", "SLEEPING")]


def test_an_empty_list_says_what_to_do(run: Run, server: ScriptedServer) -> None:
    server.reply("GET", "/v1/models", {"data": []})
    assert "`xinfer launch MODEL_NAME`" in run("list").stdout
    assert json.loads(run("list", "--json").stdout) == []


@pytest.mark.parametrize("args", [["m"], ["-u", "m"], ["--model-uid", "m"]])
def test_describe(run: Run, args: list[str]) -> None:
    assert "chat, generate" in run("describe", *args).stdout
    assert json.loads(run("describe", *args, "--json").stdout)["model_type"] == "LLM"


def test_describe_shows_the_workers_of_replicas_that_span_nodes(run: Run, server: ScriptedServer) -> None:
    server.reply("GET", "/v1/models/m", {"id": "m", "n_worker": 2})
    workers = [
        {"rank": rank, "worker_address": f"10.0.0.{rank}", "model_state": "ready", "accelerators": ["0", "1"]}
        for rank in range(2)
    ]
    server.reply("GET", "/v1/models/instances", [{"replica_statuses": [{"replica_id": 0, "workers": workers}]}])
    *_, head, leader, follower = run("describe", "m").stdout.split("\n\n")[1].splitlines()
    assert head.split() == ["REPLICA", "WORKER", "NODE", "STAGE", "GPUS"]
    assert leader.split() == ["0", "0", "10.0.0.0", "ready", "0,", "1"]
    assert follower.split()[1:3] == ["1", "10.0.0.1"]
    assert json.loads(run("describe", "m", "--json").stdout)["workers"][1]["worker_address"] == "10.0.0.1"


@pytest.mark.parametrize("args", [["m"], ["--model-uid", "m"]])
def test_terminate(run: Run, server: ScriptedServer, args: list[str]) -> None:
    server.reply("DELETE", "/v1/models/m", None)
    result = run("terminate", *args)
    assert (result.exit_code, result.stdout) == (0, "Model m is terminated.\n")
    assert [asked.method for asked in server.asked] == ["DELETE"]


@pytest.mark.parametrize(
    ("verb", "said"),
    [("sleep", "Model m sleeps; the next request wakes it.\n"), ("wake", "Model m wakes up.\n")],
)
def test_sleep_and_wake(run: Run, server: ScriptedServer, verb: str, said: str) -> None:
    server.reply("POST", f"/v1/models/m/{verb}", None)
    result = run(verb, "m")
    assert (result.exit_code, result.stdout) == (0, said)
    assert json.loads(run(verb, "m", "--json").stdout) == {"model_uid": "m"}


def log_of(*replicas: tuple[str, list[str]]) -> dict[str, object]:
    return {"model_uid": "m", "replicas": [{"replica_uid": uid, "lines": lines} for uid, lines in replicas]}


@pytest.mark.parametrize(
    ("args", "lines"), [(["m"], "100"), (["-u", "m", "--lines", "2"], "2"), (["m", "-n", "2"], "2")]
)
def test_logs(run: Run, server: ScriptedServer, args: list[str], lines: str) -> None:
    server.reply("GET", "/v1/models/m/log", log_of(("r1", ["loading", "ValueError: [red]no"])))
    result = run("logs", *args)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "loading\nValueError: [red]no\n", "")
    assert server.asked[-1].params == {"lines": lines}


def test_logs_of_several_replicas_are_told_apart(run: Run, server: ScriptedServer) -> None:
    told = log_of(("r1", ["one"]), ("r2", ["two"]))
    server.reply("GET", "/v1/models/m/log", told)
    assert run("logs", "m").stdout == "==> r1 <==\none\n==> r2 <==\ntwo\n"
    assert json.loads(run("logs", "m", "--json").stdout) == told


@pytest.mark.parametrize("told", [log_of(), log_of(("r1", []))])
def test_no_log(run: Run, server: ScriptedServer, told: dict[str, object]) -> None:
    server.reply("GET", "/v1/models/m/log", told)
    result = run("logs", "m")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "m has no engine log" in result.stderr
