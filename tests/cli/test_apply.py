"""``apply``, and ``start --models``: output, exit codes, and what is sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.client.scripted_server import Answer, ScriptedServer
from xinfer.declared import DeclaredModel
from xinfer.declared.schema import models_schema

Run = Callable[..., Result]


def instance(uid: str, replica: int = 1, status: str = "READY", **declared: Any) -> dict[str, Any]:
    declaration = DeclaredModel(model_name="fake", model_uid=uid, **declared).declaration() if declared else None
    return {"model_uid": uid, "replica": replica, "status": status, "reason": None, "declaration": declaration}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "models.yaml"
    path.write_text(
        "models:\n"
        "- {model_name: fake, model_uid: new}\n"
        "- {model_name: fake, model_uid: changed, context_length: 64}\n"
        "- {model_name: fake, model_uid: more, context_length: 8, replica: 3}\n"
    )
    return path


@pytest.fixture
def cluster(server: ScriptedServer) -> ScriptedServer:
    found = [
        instance("changed", context_length=32),
        instance("more", context_length=8),
        instance("gone", context_length=8),
        instance("by-hand"),
    ]
    server.reply("GET", "/v1/models/instances", found)
    server.reply("POST", "/v1/models", {"model_uid": "x"})
    for uid in ("changed", "gone"):
        server.reply("DELETE", f"/v1/models/{uid}", None)
    server.reply("POST", "/v1/models/more/replicas", {"replica": 2, "replicas": []})
    for uid in ("new", "changed", "more"):
        server.reply("GET", f"/v1/models/{uid}/progress", {"stage": "ready", "progress": 1.0})
    return server


def changes(server: ScriptedServer) -> list[str]:
    return [f"{each.method} {each.path}" for each in server.asked if each.method != "GET"]


def test_dry_run_shows_the_difference_and_changes_nothing(run: Run, cluster: ScriptedServer, file: Path) -> None:
    result = run("apply", "-f", str(file), "--prune", "--dry-run")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "- terminate gone  (no longer declared)",
        "~ relaunch  changed  (requests to it fail meanwhile)",
        "    context_length: 32 -> 64",
        "+ launch    new",
        "~ scale     more",
        "    replica: 1 -> 3",
    ]
    assert changes(cluster) == []


def test_apply(run: Run, cluster: ScriptedServer, file: Path) -> None:
    result = run("apply", "-f", str(file), "--prune")
    assert result.exit_code == 0, result.output
    expected = ["DELETE /v1/models/gone", "DELETE /v1/models/changed", "POST /v1/models", "POST /v1/models"]
    assert changes(cluster) == [*expected, "POST /v1/models/more/replicas"]
    sent = [each.body for each in cluster.asked if each.method == "POST" and each.path == "/v1/models"]
    assert [(body["model_uid"], body["declaration"].get("context_length")) for body in sent] == [
        ("changed", 64),
        ("new", None),
    ]


def test_without_waiting_nothing_is_followed(run: Run, cluster: ScriptedServer, file: Path) -> None:
    assert run("apply", "-f", str(file), "--no-wait").exit_code == 0
    assert not [each for each in cluster.asked if each.path.endswith("/progress")]
    (added,) = [each for each in cluster.asked if each.path.endswith("/replicas")]
    assert added.params == {"wait_ready": "false"}


def test_json(run: Run, cluster: ScriptedServer, file: Path) -> None:
    planned = json.loads(run("apply", "-f", str(file), "--dry-run", "--json").stdout)["steps"]
    assert [(step["model_uid"], step["action"]) for step in planned] == [
        ("changed", "relaunch"),
        ("new", "launch"),
        ("more", "scale"),
    ]
    assert planned[0]["changes"] == [{"field": "context_length", "before": 32, "after": 64}]
    done = json.loads(run("apply", "-f", str(file), "--json").stdout)
    assert [step["model_uid"] for step in done["done"]] == ["changed", "new", "more"]
    assert done["failed"] == []


def test_a_failure_is_told_of_and_exits_with_1(run: Run, cluster: ScriptedServer, file: Path) -> None:
    cluster.reply("GET", "/v1/models/new/progress", {"stage": "failed", "error": "out of memory"})
    result = run("apply", "-f", str(file))
    assert result.exit_code == 1
    assert "new: out of memory." in result.stderr
    assert "changed" not in result.stderr.splitlines()[-1]


def test_one_that_was_launched_by_hand_is_not_touched(run: Run, cluster: ScriptedServer, tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text("models: [{model_name: fake, model_uid: by-hand}, {model_name: fake, model_uid: new}]")
    result = run("apply", "-f", str(file))
    assert result.exit_code == 1
    assert "by-hand" in result.stderr
    assert "--adopt" in result.stderr
    assert changes(cluster) == []
    cluster.reply("DELETE", "/v1/models/by-hand", None)
    cluster.reply("GET", "/v1/models/by-hand/progress", {"stage": "ready", "progress": 1.0})
    assert run("apply", "-f", str(file), "--adopt").exit_code == 0
    assert changes(cluster) == ["DELETE /v1/models/by-hand", "POST /v1/models", "POST /v1/models"]


def test_nothing_to_do(run: Run, cluster: ScriptedServer, tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text("models: [{model_name: fake, model_uid: more, context_length: 8}]")
    result = run("apply", "-f", str(file))
    assert result.stdout == "= keep      more\nEverything is as declared.\n"
    assert changes(cluster) == []


def test_wrong_file(run: Run, cluster: ScriptedServer, tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text("models: [{model_name: fake, replicas: 3}]")
    result = run("apply", "-f", str(file))
    assert (result.exit_code, cluster.asked) == (1, [])
    assert "models.0.replicas" in result.stderr


def test_schema(run: Run) -> None:
    assert run("apply", "--schema").stdout == models_schema()


def test_server_that_does_not_answer(run: Run, server: ScriptedServer, file: Path) -> None:
    server.answer("GET", "/v1/models/instances", Answer({"error": {"message": "no"}}, status=500))
    assert run("apply", "-f", str(file)).exit_code == 1
