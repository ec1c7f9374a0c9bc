"""``start``: what its options come to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from tests.client.scripted_server import Answer, ScriptedServer
from xinfer.cluster.options import StartOptions
from xinfer.settings import Routing

Run = Callable[..., Result]


class Node:
    """In place of ``NodeLifecycle``: remembers what it was asked for and starts nothing."""

    asked: StartOptions | None = None

    def __init__(self, home: Path) -> None:
        self.home = home
        self.node = None
        self.admin_key = None

    def start(self, options: StartOptions) -> Iterator[str]:
        """One step."""
        type(self).asked = options
        yield "pretending"


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> type[Node]:
    class OfThisTest(Node):
        pass

    monkeypatch.setattr("xinfer.cli.start.NodeLifecycle", OfThisTest)
    return OfThisTest


def test_defaults_are_those_of_the_options(run: Run, node: type[Node]) -> None:
    result = run("start")
    assert result.exit_code == 0, result.output
    assert node.asked == StartOptions()


@pytest.mark.parametrize(
    ("word", "routing"),
    [("prefix", Routing.PREFIX), ("least-busy", Routing.LEAST_BUSY), ("round-robin", Routing.ROUND_ROBIN)],
)
def test_routing(run: Run, node: type[Node], word: str, routing: Routing) -> None:
    result = run("start", "--routing", word)
    assert result.exit_code == 0, result.output
    assert node.asked == StartOptions(routing=routing)
    assert word in run("start", "--help").output


def test_origins(run: Run, node: type[Node]) -> None:
    result = run("start", "--cors-origin", "https://a.example", "--cors-origin", "http://localhost:3000")
    assert result.exit_code == 0, result.output
    assert node.asked == StartOptions(cors_origins=("https://a.example", "http://localhost:3000"))


@pytest.mark.parametrize(
    ("variable", "value"),
    [("XINFER_WRITE_TIMEOUT_S", "soon"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317")],
)
def test_bad_setting_in_the_environment_starts_nothing(
    run: Run, node: type[Node], monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    result = run("start")
    assert (result.exit_code, node.asked) == (2, None)
    assert variable in result.stderr


@pytest.mark.parametrize(
    "args",
    [
        ["--routing", "random"],
        ["--routing", ""],
        ["--routing", "PREFIX"],
        ["--routing", "least_busy"],
        ["--cors-origin", "https://a.example/"],
        ["--cors-origin", "*", "--cors-origin", "https://a.example"],
        ["--supervisors", "0"],
        ["--port", "65536"],
        ["--host", "0.0.0.0", "--no-auth"],
        ["--join", "10.0.0.1:6379", "--launch", "m"],
    ],
)
def test_misuse_exits_with_2_and_starts_nothing(run: Run, node: type[Node], args: list[str]) -> None:
    result = run("start", *args)
    assert (result.exit_code, result.stdout, node.asked) == (2, "", None)
    assert "Error: " in result.stderr


def test_models_of_a_file_are_read_before_anything_starts(run: Run, node: type[Node], tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text("models: [{model_name: m, replicas: 2}]")
    result = run("start", "--models", str(file))
    assert (result.exit_code, node.asked) == (1, None)
    assert "models.0.replicas" in result.stderr
    file.write_text("models: []")
    assert run("start", "--models", str(file), "--join", "10.0.0.1:6379").exit_code == 2
    assert run("start", "--models", str(tmp_path / "none.yaml")).exit_code == 2
    assert node.asked is None


def test_models_wait_for_the_nodes_that_are_to_come(
    run: Run, node: type[Node], server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(StartOptions, "endpoint", server.url)
    monkeypatch.setattr("xinfer.cli.start._NODES_PERIOD_S", 0.01)
    server.reply("GET", "/v1/models/instances", [])
    alone, both = {"data": [{"id": "a"}]}, {"data": [{"id": "a"}, {"id": "b"}]}
    server.answer("GET", "/v1/nodes", Answer(alone), Answer(alone), Answer(both))
    file = tmp_path / "models.yaml"
    file.write_text("models: []")
    result = run("start", "--models", str(file), "--expect-nodes", "2")
    assert result.exit_code == 0, result.output
    assert [each.path for each in server.asked] == ["/v1/nodes"] * 3 + ["/v1/models/instances"]

    monkeypatch.setattr("xinfer.cli.start._NODES_S", 0.0)
    result = run("start", "--models", str(file), "--expect-nodes", "2")
    assert result.exit_code == 0, result.output
    assert "of 2 nodes are there" in result.stderr
    assert run("start", "--expect-nodes", "2").exit_code == 2


def test_models_of_a_file_are_applied(
    run: Run, node: type[Node], server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One that fails, or that was launched by hand, does not keep the server from staying up."""
    monkeypatch.setattr(StartOptions, "endpoint", server.url)
    by_hand = {"model_uid": "by-hand", "replica": 1, "status": "READY"}
    server.reply("GET", "/v1/models/instances", [by_hand])
    server.reply("POST", "/v1/models", {"model_uid": "x"})
    server.reply("GET", "/v1/models/good/progress", {"stage": "ready", "progress": 1.0})
    server.reply("GET", "/v1/models/bad/progress", {"stage": "failed", "error": "out of memory"})
    file = tmp_path / "models.yaml"
    file.write_text("models: [{model_name: bad}, {model_name: good}, {model_name: by-hand}]")
    result = run("start", "--models", str(file))
    assert result.exit_code == 0, result.output
    assert "bad: out of memory." in result.stderr
    assert "? unmanaged by-hand" in result.stderr
    assert "chat good" in result.stdout
    assert [each.body["model_uid"] for each in server.asked if each.method == "POST"] == ["bad", "good"]
