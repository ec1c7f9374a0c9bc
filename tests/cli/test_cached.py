"""``cached``, ``remove-cache`` and ``stop-cluster``."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import Result

from tests.client.scripted_server import ScriptedServer

Run = Callable[..., Result]
MODEL = {
    "model_version": "q--1B--pytorch--none",
    "actor_ip_address": "10.0.0.1",
    "size_bytes": 3 * 1024**3,
    "path": "/q",
}


def test_cached(run: Run, server: ScriptedServer) -> None:
    server.reply("GET", "/v1/cache/models", {"list": [MODEL]})
    result = run("cached", "-n", "q", "--worker-ip", "10.0.0.1")
    assert result.stdout.splitlines()[1].split() == ["q--1B--pytorch--none", "10.0.0.1", "3.0", "/q"]
    assert server.asked[-1].params == {"model_name": "q", "worker_ip": "10.0.0.1"}
    assert json.loads(run("cached", "--json").stdout) == [MODEL]


def test_nothing_cached(run: Run, server: ScriptedServer) -> None:
    server.reply("GET", "/v1/cache/models", {"list": []})
    assert "No model" in run("cached").stdout


@pytest.mark.parametrize("args", [["v"], ["-n", "v"], ["--model_version", "v"]])
def test_remove_cache_without_asking(run: Run, server: ScriptedServer, args: list[str]) -> None:
    server.reply("DELETE", "/v1/cache/models", {"result": True})
    result = run("remove-cache", *args, "--check")
    assert (result.exit_code, result.stdout) == (0, "Removed v.\n")
    assert [(asked.method, asked.params) for asked in server.asked] == [("DELETE", {"model_version": "v"})]


@pytest.mark.parametrize(("answer", "methods"), [("y\n", ["GET", "DELETE"]), ("n\n", ["GET"])])
def test_remove_cache_asks(run: Run, server: ScriptedServer, answer: str, methods: list[str]) -> None:
    server.reply("GET", "/v1/cache/models/files", {"paths": ["/q"]})
    server.reply("DELETE", "/v1/cache/models", {"result": True})
    result = run("remove-cache", "v", stdin=answer)
    assert "/q" in result.stderr
    assert [asked.method for asked in server.asked] == methods


def test_what_could_not_be_removed_is_a_failure(run: Run, server: ScriptedServer) -> None:
    server.reply("DELETE", "/v1/cache/models", {"result": False})
    assert run("remove-cache", "v", "-y").exit_code == 1


def test_stop_cluster(run: Run, server: ScriptedServer) -> None:
    server.reply("GET", "/v1/workers", [{"work-ip": "10.0.0.1", "models": {}}])
    server.reply("DELETE", "/v1/clusters", {"result": True})
    assert run("stop-cluster", stdin="n\n").exit_code == 1
    assert [asked.method for asked in server.asked] == ["GET"]
    assert "stopping" in run("stop-cluster", "--check").stdout
    assert server.asked[-1].method == "DELETE"
