"""``register``, ``unregister``, ``registrations``, ``engine``, and ``models`` with what is registered."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.client.scripted_server import Answer, ScriptedServer
from xinfer.errors import FamilyRefused

Run = Callable[..., Result]
PATH = "/v1/model_registrations/LLM"
WHALE: dict[str, Any] = {
    "name": "whale",
    "description": "Sings.",
    "languages": ["en"],
    "abilities": ["chat", "reasoning", "hybrid"],
    "context_length": 2048,
    "thinking": {"mode": "switch", "keywords": ["thinking_mode"], "on": "on", "off": "off"},
    "reasoning_parser": "qwen3",
    "specs": [{"size_in_billions": "7", "model_id": "sea/whale"}],
}
YAML = """
name: whale
description: Sings.
languages: [en]
abilities: [chat, reasoning, hybrid]
context_length: 2048
thinking: {mode: switch, keywords: [thinking_mode], on: on, off: off}
reasoning_parser: qwen3
specs:
  - {size_in_billions: "7", model_id: sea/whale}
"""
LISTED = [
    {"model_name": "qwen3", "is_builtin": True, "model_lang": ["en", "zh"], "model_ability": ["chat", "tools"]},
    {"model_name": "whale", "is_builtin": False, "model_lang": ["en"], "model_ability": ["chat"], "definition": WHALE},
]
SPEC = {"model_name": "whale", "model_format": "pytorch", "model_size_in_billions": "0_6", "quantizations": ["none"]}
BIG = {**SPEC, "model_format": "gptq", "model_size_in_billions": 7, "quantizations": ["Int4", "Int8"]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "whale.yaml"
    file.write_text(YAML)
    return file


@pytest.mark.parametrize(
    ("options", "persist"), [([], True), (["-p"], True), (["--no-persist"], False), (["-t", "LLM"], True)]
)
def test_register(run: Run, server: ScriptedServer, file: Path, options: list[str], persist: bool) -> None:
    server.reply("POST", PATH, None)
    result = run("register", str(file), *options)
    assert (result.exit_code, "`xinfer launch whale`" in result.stdout) == (0, True), result.output
    body = server.asked[-1].body
    assert {**body, "model": json.loads(body["model"])} == {"model": WHALE, "worker_ip": None, "persist": persist}


def test_register_as_xinferences_users_do(run: Run, server: ScriptedServer, tmp_path: Path) -> None:
    server.reply("POST", PATH, None)
    file = tmp_path / "model.json"
    file.write_text('{"model_name": "whale", "version": 2}')
    result = run("register", "--model-type", "LLM", "--file", str(file), "--persist", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"model_name": "whale"})
    assert json.loads(server.asked[-1].body["model"]) == {"model_name": "whale", "version": 2}


@pytest.mark.parametrize("text", ["{", "name: [", "just words", "- a\n- b", "day: 2026-01-01", "\x00"])
def test_a_file_that_holds_no_family_is_not_sent(run: Run, server: ScriptedServer, file: Path, text: str) -> None:
    file.write_text(text)
    result = run("register", str(file))
    assert (result.exit_code, result.stdout, result.stderr.count("\n"), server.asked) == (1, "", 1, [])
    assert file.name in result.stderr


def test_a_refusal_is_one_line(run: Run, server: ScriptedServer, file: Path) -> None:
    error = FamilyRefused("specs.0.model_id: there is no folder /x.", param="specs.0.model_id")
    server.answer("POST", PATH, Answer(error.body(), error.status, error.headers()))
    result = run("register", str(file))
    assert (result.exit_code, result.stderr) == (1, "Error: specs.0.model_id: there is no folder /x.\n")


@pytest.mark.parametrize("args", [["whale"], ["-n", "whale"], ["-t", "LLM", "--model-name", "whale"]])
def test_unregister(run: Run, server: ScriptedServer, args: list[str]) -> None:
    server.reply("DELETE", f"{PATH}/whale", None)
    result = run("unregister", *args)
    assert (result.exit_code, result.stdout) == (0, "whale is not registered any more.\n")
    assert json.loads(run("unregister", *args, "--json").stdout) == {"model_name": "whale"}


@pytest.mark.parametrize(
    "args",
    [
        ["register"],
        ["register", "/no/such/file"],
        ["unregister"],
        ["unregister", "a", "-n", "b"],
        ["engine"],
        ["engine", "a", "-n", "b"],
    ],
)
def test_misuses(run: Run, server: ScriptedServer, args: list[str]) -> None:
    result = run(*args)
    assert (result.exit_code, result.stdout, server.asked) == (2, "", [])


def test_registrations(run: Run, server: ScriptedServer) -> None:
    server.reply("GET", PATH, LISTED)
    head, *rows = run("registrations").stdout.splitlines()
    assert head.split() == ["TYPE", "NAME", "LANGUAGE", "ABILITY", "IS-BUILT-IN"]
    assert [(row.split()[1], row.split()[-1]) for row in rows] == [("whale", "False"), ("qwen3", "True")]
    assert json.loads(run("registrations", "--mine", "--json").stdout) == [LISTED[1]]
    server.reply("GET", PATH, LISTED[:1])
    assert "`xinfer register FILE`" in run("registrations", "--mine").stdout


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ([], ["none", "Int4", "Int8"]),
        (["-s", "0.6"], ["none"]),
        (["-s", "0_6"], ["none"]),
        (["-s", "7", "-q", "int8"], ["Int8"]),
        (["-f", "GPTQ", "-en", "vllm"], ["Int4", "Int8"]),
    ],
)
def test_engine(run: Run, server: ScriptedServer, options: list[str], shown: list[str]) -> None:
    server.reply("GET", "/v1/engines/LLM/whale", {"vLLM": [SPEC, BIG], "MLX": "It is not a Mac."})
    result = run("engine", "-n", "whale", *options)
    assert [row.split()[-1] for row in result.stdout.splitlines()[1:]] == shown
    rows = json.loads(run("engine", "whale", *options, "--json").stdout)
    assert [(row["model_engine"], row["quantization"]) for row in rows] == [("vLLM", name) for name in shown]


def test_engine_without_a_match(run: Run, server: ScriptedServer) -> None:
    server.reply("GET", "/v1/engines/LLM/whale", {"vLLM": [SPEC]})
    result = run("engine", "whale", "-s", "8")
    assert (result.exit_code, "`xinfer engine whale`" in result.stderr) == (1, True)


def test_models_has_what_is_registered(run: Run, server: ScriptedServer) -> None:
    server.reply("GET", PATH, [{"model_name": each["model_name"], "is_builtin": each["is_builtin"]} for each in LISTED])
    server.reply("GET", f"{PATH}/whale", LISTED[1])
    names = [each["name"] for each in json.loads(run("models", "--json").stdout)]
    assert {"whale", "tiny-chat"} <= set(names)
    assert "xinfer launch whale" in run("models", "Whale").stdout


def test_models_of_a_server_of_another_kind(run: Run, server: ScriptedServer) -> None:
    """Xinference's says less of a family."""
    server.reply("GET", PATH, LISTED)
    server.reply("GET", f"{PATH}/whale", {"model_name": "whale", "model_specs": []})
    names = [each["name"] for each in json.loads(run("models", "--json").stdout)]
    assert ("whale" in names, "tiny-chat" in names) == (False, True)


def test_models_without_a_server(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        result = run("models", "-e", f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert (result.exit_code, "tiny-chat" in result.stdout) == (0, True)
