"""``launch``: what it sends, how it waits, how it ends."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import Result

from tests.client.scripted_server import Answer, ScriptedServer
from xinfer import errors
from xinfer.cli import engine_options

Run = Callable[..., Result]


def report(stage: str, progress: float = 0.5, error: str | None = None) -> Answer:
    replica = {"replica_id": 0, "replica_model_uid": "m-rep0", "progress": progress, "stage": stage, "info": ""}
    return Answer({"progress": progress, "stage": stage, "replicas": [replica], "error": error})


@pytest.fixture(autouse=True)
def launchable(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xinfer.cli.progress.POLL_PERIOD_S", 0.001)
    server.reply("POST", "/v1/models", {"model_uid": "m"})
    pending = Answer({"progress": 0, "stage": "pending", "replicas": [], "error": None})
    stages = report("loading"), report("loading"), report("ready", 1)
    server.answer("GET", "/v1/models/m/progress", pending, pending, *stages)


def sent(server: ScriptedServer) -> dict[str, Any]:
    launch = next(asked for asked in server.asked if (asked.method, asked.path) == ("POST", "/v1/models"))
    assert launch.params == {"wait_ready": "false"}
    return {key: value for key, value in launch.body.items() if value is not None}


def _lora(name: str) -> dict[str, str]:
    return {"lora_name": name, "local_path": f"/{name}"}


DEFAULTS = {
    "model_name": "q",
    "model_type": "LLM",
    "model_engine": "vLLM",
    "replica": 1,
    "n_worker": 1,
    "n_gpu": "auto",
}


@pytest.mark.parametrize(
    ("args", "more"),
    [
        (["q"], {}),
        (["-n", "q"], {}),
        (["-n", "q", "-u", "x", "-f", "awq", "-r", "2"], {"model_uid": "x", "model_format": "awq", "replica": 2}),
        (["q", "-s", "8", "-q", "Int4"], {"model_size_in_billions": "8", "quantization": "Int4"}),
        (["q", "--n-gpu", "0.5"], {"n_gpu": 0.5}),
        (["q", "--n-gpu", "2"], {"n_gpu": 2}),
        (["q", "--n-gpu", "1", "--wait-for-capacity"], {"n_gpu": 1, "wait_for_capacity": True}),
        (["q", "-mp", "org/name"], {"model_path": "org/name"}),
        (["q", "--enable-thinking"], {"enable_thinking": True}),
        (["q", "--enable-thinking", "false"], {"enable_thinking": False}),
        (["q", "--no-enable-thinking"], {"enable_thinking": False}),
        (["q", "--trust-remote-code", "true"], {"trust_remote_code": True}),
        (["q", "--context-length", "512"], {"context_length": 512}),
        (["q", "--request-limits", "64"], {"request_limits": 64}),
        (["q", "--idle-timeout", "600", "--kv-cache-gib", "0.5"], {"idle_timeout": 600, "kv_cache_gib": 0.5}),
        (["q", "-ev", "A", "1", "--env", "B", "2"], {"envs": {"A": "1", "B": "2"}}),
        (
            ["q", "--max-num-seqs", "8", "-r", "2", "--enforce-eager"],
            {"max_num_seqs": 8, "enforce_eager": True, "replica": 2},
        ),
        (["-n", "q", "--seed", "-1", "--gpu_memory_utilization=0.5"], {"seed": -1, "gpu_memory_utilization": 0.5}),
        (["q", "--worker-ip", "10.0.0.1", "--gpu-idx", "[0,1]"], {"worker_ip": "10.0.0.1", "gpu_idx": [0, 1]}),
        (
            ["q", "--n-worker", "2", "--replica-config", '[{"n_gpu": 1}]'],
            {"n_worker": 2, "replica_config": [{"n_gpu": 1}]},
        ),
        (
            ["q", "-lm", "a", "/a", "--lora-modules", "b", "/b"],
            {"peft_model_config": {"lora_list": [_lora("a"), _lora("b")]}},
        ),
        (["q", "-qc", "load_in_4bit", "true"], {"quantization_config": {"load_in_4bit": True}}),
        (
            ["q", "--enable-virtual-env", "-vp", "a", "-vp", "b"],
            {"enable_virtual_env": True, "virtual_env_packages": ["a", "b"]},
        ),
        (["q", "--disable-virtual-env"], {"enable_virtual_env": False}),
        (["q", "--virtual-env-find-link", "http://a"], {"virtual_env_find_links": ["http://a"]}),
    ],
)
def test_what_it_sends(run: Run, server: ScriptedServer, args: list[str], more: dict[str, Any]) -> None:
    result = run("launch", *args)
    assert result.exit_code == 0, result.output
    assert sent(server) == {**DEFAULTS, **more}


def test_no_gpu_is_null(run: Run, server: ScriptedServer) -> None:
    run("launch", "q", "--n-gpu", "none")
    assert server.asked[0].body["n_gpu"] is None


def test_a_folder_needs_no_name_and_is_sent_in_full(
    run: Run, server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    run("launch", "--model-path", "mine")
    assert (sent(server)["model_name"], sent(server)["model_path"]) == ("mine", str(tmp_path / "mine"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-0.5", -0.5),
        ("True", True),
        ("false", False),
        ("none", None),
        ('{"a": 1}', {"a": 1}),
        ("fp8", "fp8"),
    ],
)
def test_values_of_engine_options(text: str, value: Any) -> None:
    assert engine_options.parse(["q", "--some-key", text]) == ("q", {"some_key": value})


def test_an_engine_option_that_is_no_json_is_a_misuse() -> None:
    with pytest.raises(click.UsageError, match="Not JSON"):
        engine_options.value("{a}")


def test_it_waits_and_says_what_is_next(run: Run, server: ScriptedServer) -> None:
    result = run("launch", "q")
    assert result.stdout == 'Model uid: m\nTry it: xinfer chat m "Hello"\n'
    assert result.stderr.splitlines() == ["m: pending", "m-rep0: loading", "m-rep0: ready"]


def test_json_is_one_object(run: Run) -> None:
    assert json.loads(run("launch", "q", "--json").stdout) == {"model_uid": "m", "ready": True}


def test_it_need_not_wait(run: Run, server: ScriptedServer) -> None:
    assert run("launch", "q", "--no-wait").stdout.startswith("Model uid: m\n")
    assert json.loads(run("launch", "q", "--no-wait", "--json").stdout) == {"model_uid": "m", "ready": False}
    assert {asked.path for asked in server.asked} == {"/v1/models"}


WHY = "q 8B is the largest that fits 1 GPU of 24 GiB."


@pytest.mark.parametrize("wait", ["--wait", "--no-wait"])
def test_it_says_why_that_model_was_chosen(run: Run, server: ScriptedServer, wait: str) -> None:
    server.reply("POST", "/v1/models", {"model_uid": "m", "why": WHY})
    server.answer("GET", "/v1/models/m/progress", report("ready", 1))
    assert run("launch", "q", wait).stderr.splitlines()[0] == WHY
    assert json.loads(run("launch", "q", wait, "--json").stdout)["why"] == WHY


def test_a_launch_that_is_gone_at_once_has_no_reason(run: Run, server: ScriptedServer) -> None:
    server.answer("GET", "/v1/models/m/progress", Answer(GONE.body(), 404))
    assert run("launch", "q", "--no-wait").exit_code == 0


def test_a_failed_launch(run: Run, server: ScriptedServer) -> None:
    server.answer("GET", "/v1/models/m/progress", report("loading"), report("failed", 0, "CUDA out of\nmemory"))
    result = run("launch", "q", "--json")
    assert result.exit_code == 1
    last = result.stderr.splitlines()[-1]
    assert last == "Error: CUDA out of memory. `xinfer logs m` shows the engine's log."
    told = json.loads(result.stdout)
    assert (told["model_uid"], told["ready"], told["error"].startswith("CUDA out of\nmemory.")) == ("m", False, True)


GONE = errors.ModelNotFound("No model 'm'.")


@pytest.mark.parametrize("last", [report("cancelled", 0), Answer(GONE.body(), 404)])
def test_a_launch_that_somebody_else_cancelled(run: Run, server: ScriptedServer, last: Answer) -> None:
    server.answer("GET", "/v1/models/m/progress", report("loading"), last)
    result = run("launch", "q")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "cancelled" in result.stderr


@pytest.mark.parametrize(
    ("answer", "code", "asked"), [("y", 1, "/v1/models/m/cancel"), ("", 1, "/v1/models/m/cancel"), ("n", 0, None)]
)
def test_ctrl_c_on_a_terminal_asks(
    run: Run, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, asked: str | None
) -> None:
    """Who wants to keep the launch leaves it to itself."""

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)
    server.reply("POST", "/v1/models/m/cancel", None)
    result = run("launch", "q", stdin=f"{answer}\n")
    assert result.exit_code == code
    assert "Cancel the launch of m?" in result.stderr
    assert [each.path for each in server.asked if each.path.endswith("/cancel")] == [path for path in [asked] if path]
    assert ("It is starting" in result.stdout) is (answer == "n")


def test_ctrl_c_cancels(run: Run, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    server.reply("POST", "/v1/models/m/cancel", None)
    result = run("launch", "q")
    assert (result.exit_code, server.asked[-1].path) == (1, "/v1/models/m/cancel")
    assert "cancelled" in result.stderr


def test_ctrl_c_before_the_server_has_answered_cancels(
    run: Run, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    next_answer = server.next_answer

    def interrupted(asked: Any) -> Answer:
        if asked.method == "POST" and asked.path == "/v1/models":
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
        return next_answer(asked)

    monkeypatch.setattr(server, "next_answer", interrupted)
    server.reply("POST", "/v1/models/m/cancel", None)
    result = run("launch", "q")
    assert (result.exit_code, server.asked[-1].path) == (1, "/v1/models/m/cancel")
    assert "cancelled" in result.stderr
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
