"""``list``, ``describe``, ``terminate`` and ``models``."""

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


def test_an_empty_list_says_what_to_do(run: Run, server: ScriptedServer) -> None:
    server.reply("GET", "/v1/models", {"data": []})
    assert "`xinfer launch MODEL_NAME`" in run("list").stdout
    assert json.loads(run("list", "--json").stdout) == []


@pytest.mark.parametrize("args", [["m"], ["-u", "m"], ["--model-uid", "m"]])
def test_describe(run: Run, args: list[str]) -> None:
    assert "chat, generate" in run("describe", *args).stdout
    assert json.loads(run("describe", *args, "--json").stdout)["model_type"] == "LLM"


@pytest.mark.parametrize("args", [["m"], ["--model-uid", "m"]])
def test_terminate(run: Run, server: ScriptedServer, args: list[str]) -> None:
    server.reply("DELETE", "/v1/models/m", None)
    result = run("terminate", *args)
    assert (result.exit_code, result.stdout) == (0, "Model m is terminated.\n")
    assert [asked.method for asked in server.asked] == ["DELETE"]


def test_models(run: Run) -> None:
    assert "tiny-chat" in run("models").stdout
    assert "tiny-chat" not in run("models", "--ability", "vision").stdout
    assert "xinfer launch tiny-chat" in run("models", "tiny-chat").stdout
    assert json.loads(run("models", "tiny-chat", "--json").stdout)[0]["name"] == "tiny-chat"
    unknown = run("models", "tiny-chad")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
