"""``xinference``, the command line of Xinference 4.1.0: its own code in this process, which spares an import of seconds each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result
from shared import ENDPOINT, MODEL, MODEL_FOLDER, QUESTION, says
from xinference.client import RESTfulClient
from xinference.deploy.cmdline import cli


def run(*words: str, typed: str = "") -> str:
    """What ``xinference WORDS`` prints, with ``typed`` on its standard input; it has to succeed."""
    result = attempt(*words, typed=typed)
    assert result.exit_code == 0, f"{result.output}{result.exception!r}"
    return result.output


def attempt(*words: str, typed: str = "") -> Result:
    command, *more = words
    return CliRunner().invoke(cli, [command, "-e", ENDPOINT, *more], input=typed)


@pytest.fixture
def uid() -> Iterator[str]:
    """A UID that is free again when the test ends."""
    uid = f"command-{uuid4().hex[:8]}"
    yield uid
    client = RESTfulClient(ENDPOINT)
    if client.get_instance_info(None, uid):
        client.terminate_model(uid)


def test_program_itself() -> None:
    """The installed script, with the endpoint from its variable."""
    script = Path(sys.executable).parent / "xinference"
    env = {**os.environ, "XINFERENCE_ENDPOINT": ENDPOINT}
    done = subprocess.run([script, "list"], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert MODEL in done.stderr


def test_list() -> None:
    (row,) = [line.split() for line in run("list").splitlines() if line.startswith(f"{MODEL} ")]
    assert row == [MODEL, "LLM", "tiny-chat", "pytorch", "0.004", "none"]


def test_launch_and_terminate(uid: str) -> None:
    said = run("launch", "-n", "tiny-chat", "-en", "vLLM", "-u", uid, "--n-gpu", "none", "--max_model_len", "2048")
    assert f"Model uid: {uid}" in said
    assert RESTfulClient(ENDPOINT).describe_model(uid)["context_length"] == 2048
    assert uid in run("list")
    run("terminate", "--model-uid", uid)
    assert uid not in run("list")


def test_failed_launch_says_why(uid: str) -> None:
    words = ["-n", "fake", "-en", "fake", "-mp", MODEL_FOLDER, "-u", uid, "--n-gpu", "none"]
    result = attempt("launch", *words, "--start_error", "no room today")
    assert result.exit_code == 1
    assert "no room today" in result.output


@pytest.mark.parametrize("stream", ["true", "false"])
def test_chat(stream: str) -> None:
    said = run("chat", "--model-uid", MODEL, "--stream", stream, typed=f"{QUESTION}\n{QUESTION}\n\n")
    first, second = said.split("Assistant: ")[1:]
    assert says(first.replace("User: ", ""))
    assert second


@pytest.mark.parametrize("stream", ["true", "false"])
def test_generate(stream: str) -> None:
    said = run("generate", "--model-uid", MODEL, "--max_tokens", "64", "--stream", stream, typed="Once upon a time\n\n")
    assert "Once upon a time" in said
    assert len(said) > 100


@pytest.fixture
def family(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A family of the user's own and the file it is in."""
    name = f"my-family-{uuid4().hex[:8]}"
    spec = {"model_format": "pytorch", "model_size_in_billions": 1, "quantizations": ["none"], "model_id": "some/thing"}
    body: dict[str, Any] = {
        "version": 2,
        "model_name": name,
        "model_lang": ["en"],
        "model_ability": ["generate", "chat"],
        "context_length": 2048,
        "model_family": "qwen3",
        "model_specs": [spec],
    }
    file = tmp_path / "family.json"
    file.write_text(json.dumps(body))
    yield name, file
    client = RESTfulClient(ENDPOINT)
    if name in [row["model_name"] for row in client.list_model_registrations("LLM")]:
        client.unregister_model("LLM", name)


def test_register(family: tuple[str, Path]) -> None:
    name, file = family
    run("register", "-f", str(file), "--persist")
    (row,) = [line for line in run("registrations").splitlines() if name in line]
    assert row.split()[-1] == "False"
    assert name in run("engine", "-n", name, "-en", "vllm")
    run("unregister", "-n", name)
    assert name not in run("registrations")


def test_registrations() -> None:
    (row,) = [
        line.split() for line in run("registrations").splitlines() if line.startswith("LLM") and " qwen3 " in line
    ]
    assert row[0] == "LLM"
    assert row[-1] == "True"


def test_engine() -> None:
    rows = [line.split() for line in run("engine", "-n", "qwen3").splitlines() if line.startswith("qwen3")]
    assert {row[1] for row in rows} == {"vLLM"}
    assert ["qwen3", "vLLM", "fp8", "8", "fp8"] in rows
    assert "fp8" not in run("engine", "-n", "qwen3", "-en", "vllm", "-f", "pytorch", "-s", "8")


def test_cached() -> None:
    said = run("cached", "-n", "no-such-family")
    assert "There are no cache files." in said
    assert "cached_model" in (said := run("cached")) or "There are no cache files." in said
    assert "no model version named" in run("remove-cache", "-n", "no-such-version")


def test_vllm_models() -> None:
    assert "qwen3" in run("vllm-models")


def test_login_is_not_needed() -> None:
    run("login", "--username", "somebody", "--password", "a password")


def test_what_is_left_out_says_so() -> None:
    reload = ["reload", "--model-uid", MODEL, "--model-config", '{"max_model_len": 2048}']
    for words in (reload, ["relaunch-api"], ["relaunch-supervisor"]):
        result = attempt(*words)
        assert result.exit_code == 1
        assert "xinfer" in f"{result.output}{result.exception}"


def test_refusals_say_why() -> None:
    result = attempt("launch", "-n", "no-such-family", "-en", "vLLM")
    assert "no-such-family" in str(result.exception)
    assert "There is no model 'nobody'" in str(attempt("terminate", "--model-uid", "nobody").exception)
    assert "There is no model 'nobody'" in str(attempt("chat", "--model-uid", "nobody").exception)
