"""``xinfer bench`` as it is called."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.bench.nvml import made_up_nvml
from tests.cli.imports import help_of
from tests.client.scripted_server import Answer, ScriptedServer
from xinfer import errors
from xinfer.cli import xinfer
from xinfer.cluster.ports import free_port

# Five seconds of load.
heavy = pytest.mark.heavy

CHUNKS = [
    b'data: {"choices": [{"delta": {"content": "a"}, "finish_reason": null}]}\n\n',
    b'data: {"choices": [{"delta": {"content": "b"}, "finish_reason": "length"}]}\n\n',
    b'data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}\n\n',
]
QUICK = ("-c", "2", "-n", "2", "--warm-up", "1")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    server.reply("GET", "/v1/models", {"data": [{"id": "m"}]})
    server.stream("/v1/chat/completions", *CHUNKS)
    yield server
    server.close()


@pytest.fixture
def run(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Runs ``xinfer bench`` with the scripted server for its default."""
    monkeypatch.setenv("XINFER_ENDPOINT", server.url)
    monkeypatch.setenv("XINFER_HOME", str(tmp_path))
    monkeypatch.delenv("XINFER_API_KEY", raising=False)
    return lambda *args: CliRunner().invoke(xinfer, ["bench", *args])


def test_a_table_on_stdout_and_progress_on_stderr(run: Callable[..., Result], server: ScriptedServer) -> None:
    result = run(*QUICK)
    assert result.exit_code == 0, result.output
    assert f"A  {server.url} (m)" in result.stdout
    assert "STREAMS" in result.stdout
    assert "TTFT P50" in result.stdout
    assert "A round 1 of 1, 2 streams: " in result.stderr
    assert "round" not in result.stdout


def test_versus(run: Callable[..., Result], server: ScriptedServer) -> None:
    result = run(f"{server.url}/v1/", "--versus", f"{server.url}/v1", "--rounds", "2", *QUICK)
    assert result.exit_code == 0, result.output
    assert "medians of 2 pairs" in result.stdout
    assert "Tokens per second, A over B: " in result.stdout


def test_a_pair_gets_prompts_of_one_length_and_no_prompt_twice(
    run: Callable[..., Result], server: ScriptedServer
) -> None:
    run(server.url, "--versus", server.url, "--rounds", "2", *QUICK)
    prompts = [asked.body["messages"][0]["content"] for asked in server.asked if asked.method == "POST"]
    assert len(prompts) == len(set(prompts)) == 2 + 2 * 2 * 2
    assert {len(prompt.split()) for prompt in prompts} == {128}


def test_turns_and_engines(run: Callable[..., Result], server: ScriptedServer, tmp_path: Path) -> None:
    page = b"vllm:prefix_cache_queries_total 8.0\nvllm:prefix_cache_hits_total %d.0\n"
    server.answer("GET", "/metrics", *(Answer(page.replace(b"8", b"%d" % n) % n) for n in (0, 0, 0, 4)))
    report = tmp_path / "x.json"
    engine = ("--engine", f"{server.url}/v1", "--engine", server.url)
    result = run(*QUICK, "--turns", "3", "--turn-tokens", "5", *engine, "--json", str(report))
    assert result.exit_code == 0, result.output
    assert "conversations of 3 turns" in result.stdout
    assert "TTFT P50 LATER" in result.stdout
    assert "100.0%" in result.stdout
    facts = json.loads(report.read_text())
    assert {"turns": 3, "turn_tokens": 5, "engines": [server.url]}.items() <= facts["arguments"].items()
    leg = facts["levels"][0]["a"]
    assert (leg["requests"], len(leg["ttft_p50_ms_by_turn"])) == (6, 3)
    assert leg["engines"] == {"cache_hit_rate": 1, "busiest_share": None, "prompt_tokens": {}}


@heavy
def test_gpus(
    run: Callable[..., Result], server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up_nvml(tmp_path, monkeypatch)
    report = tmp_path / "x.json"
    legs = ("-c", "1", "--duration-s", "1.8", "--warm-up", "0", "--rounds", "1")
    result = run(*legs, "--versus", server.url, "--gpu", "0", "--json", str(report))
    assert result.exit_code == 0, result.output
    assert "1 x NVIDIA H100 80GB HBM3 (81559 MiB)" in result.stdout
    assert "GPU BUSY A  GPU BUSY B" in result.stdout
    assert "GPUs of this machine busy, A and B: 90.0% and 90.0% at 1 stream." in result.stdout
    facts = json.loads(report.read_text())
    assert facts["levels"][0]["b"]["gpus"] == {"0": {"busy_share": 0.9, "memory_peak_mib": 70000}}
    assert facts["arguments"]["gpus"] == ["0"]
    result = run("--gpu", "2")
    assert (result.exit_code, "'2': expected the index of a GPU" in result.stderr) == (2, True)


def test_json_and_plot(run: Callable[..., Result], tmp_path: Path) -> None:
    report, picture = tmp_path / "x.json", tmp_path / "x.png"
    result = run(*QUICK, "--json", str(report), "--plot", str(picture), "--seed", "5", "-ak", "secret")
    assert result.exit_code == 0, result.output
    facts = json.loads(report.read_text())
    assert facts["levels"][0]["a"]["completion_tokens"] == 2
    assert (facts["arguments"]["seed"], facts["arguments"]["rounds"]) == (5, 1)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "secret" not in report.read_text() + result.output


def test_json_alone_on_stdout(run: Callable[..., Result]) -> None:
    assert json.loads(run(*QUICK, "--json", "-").stdout)["targets"]["a"]["model"] == "m"


def test_each_server_gets_its_own_key(run: Callable[..., Result], server: ScriptedServer) -> None:
    run(*QUICK, "-ak", "first", "--versus", server.url, "--versus-api-key", "second", "--rounds", "1")
    keys = [asked.headers.get("authorization") for asked in server.asked]
    assert set(keys) == {"Bearer first", "Bearer second"}
    server.asked.clear()
    run(*QUICK, "-ak", "first", "--versus", server.url, "--rounds", "1")
    assert {asked.headers.get("authorization") for asked in server.asked} == {"Bearer first", None}


def test_nothing_but_errors_is_a_failure(run: Callable[..., Result], server: ScriptedServer) -> None:
    error = errors.ModelOverloaded("All replicas are full.")
    server.answer("POST", "/v1/chat/completions", Answer(error.body(), error.status))
    result = run(*QUICK)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "All replicas are full." in result.stderr


@pytest.mark.parametrize("model", [[], ["--model", "m"]])
def test_no_server(run: Callable[..., Result], model: list[str]) -> None:
    result = run(f"http://127.0.0.1:{free_port('127.0.0.1')}", *model, "-c", "1")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert "`xinfer start`" in result.stderr


def test_several_models(run: Callable[..., Result], server: ScriptedServer) -> None:
    server.reply("GET", "/v1/models", {"data": [{"id": "m"}, {"id": "n"}]})
    result = run(*QUICK)
    assert result.exit_code == 1
    assert "m, n" in result.stderr
    assert run(*QUICK, "--model", "n").exit_code == 0


@pytest.mark.parametrize(
    "args",
    [
        ["localhost:9997"],
        ["-c", "1,x"],
        ["-c", "0"],
        ["-c", "1.5"],
        ["--rate", "-1"],
        ["--rate", "nan"],
        ["-c", "1", "--rate", "1"],
        ["-n", "1", "--duration-s", "1"],
        ["--prompt-tokens", "1"],
        ["--shared-prefix-tokens", "128"],
        ["--versus-model", "m"],
        ["--extra-body", "[1]"],
        ["--extra-body", "{"],
        ["--cpu", "1"],
        ["--cpu", "me=x"],
        ["--cpu", "nobody=999999999"],
        ["--json", "no/such/folder.json"],
        ["--plot", "."],
        ["--api", "images"],
        ["--turns", "2", "--rate", "1"],
        ["--turns", "2", "--api", "completions"],
        ["--turn-tokens", "0"],
        ["--engine", "localhost:8000"],
        ["--gpu", "x"],
    ],
)
def test_misuse_asks_nobody(run: Callable[..., Result], server: ScriptedServer, args: list[str]) -> None:
    result = run(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: " in result.stderr
    assert server.asked == []


def test_help_imports_neither_aiohttp_nor_matplotlib() -> None:
    _, imported = help_of("bench")
    assert imported.isdisjoint({"aiohttp", "matplotlib", "numpy", "ray", "uvloop"})


def test_a_picture_needs_matplotlib(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xinfer.bench.arguments.find_spec", lambda _: None)
    result = run(*QUICK, "--plot", str(tmp_path / "x.png"))
    assert result.exit_code == 1
    assert result.stderr == "Error: Pictures need matplotlib: pip install 'xinfer[bench]'\n"
