"""``start``: what its options come to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from xinfer.cluster.options import StartOptions
from xinfer.settings import Routing

Run = Callable[..., Result]


class Node:
    """In place of ``NodeLifecycle``: remembers what it was asked for and starts nothing."""

    asked: StartOptions | None = None

    def __init__(self, home: Path) -> None:
        self.node = None

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


def test_bad_setting_in_the_environment_starts_nothing(
    run: Run, node: type[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XINFER_WRITE_TIMEOUT_S", "soon")
    result = run("start")
    assert (result.exit_code, node.asked) == (2, None)
    assert "XINFER_WRITE_TIMEOUT_S" in result.stderr


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
