from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from tests.client.scripted_server import ScriptedServer
from xinfer.cli import xinfer


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    server.reply("GET", "/v1/models", {"data": [{"id": "m", "model_name": "qwen3", "replica": 2}]})
    server.reply("GET", "/v1/models/m", {"model_type": "LLM", "model_ability": ["chat", "generate"]})
    yield server
    server.close()


@pytest.fixture
def run(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command against the scripted server; its stdin is not a terminal."""
    monkeypatch.setenv("XINFER_ENDPOINT", server.url)
    monkeypatch.delenv("XINFER_API_KEY", raising=False)

    def run(*args: str, stdin: str = "") -> Result:
        return CliRunner().invoke(xinfer, args, input=stdin)

    return run
