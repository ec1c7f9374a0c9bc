"""The measurements on a cluster, played by a scripted server; and the command."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.cli.imports import help_of
from tests.client.scripted_server import Answer, ScriptedServer
from xinfer.bench.launching import job, measurements
from xinfer.bench.launching.bench_cluster import BenchCluster
from xinfer.bench.launching.cluster import Cluster
from xinfer.bench.launching.job import Record, Round, _measure_and_clear
from xinfer.bench.launching.rows import NAMES, Name
from xinfer.bench.launching.sample import Sample
from xinfer.bench.launching.subject import Subject
from xinfer.cli import xinfer
from xinfer.client import RESTfulClient
from xinfer.cluster.fork_server import ForkServerStage, ForkServerState
from xinfer.errors import LaunchFailed

TOKENS = (
    b'data: {"choices": [{"delta": {"content": "A"}}]}\n\n',
    b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n',
)


class PlayedCluster(Cluster):
    """One whose REST API is a scripted server."""

    def __init__(self, home: Path, endpoint: str) -> None:
        super().__init__(home)
        self._endpoint = endpoint

    @property
    def endpoint(self) -> str:
        return self._endpoint


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    server.reply("POST", "/v1/models", {"model_uid": "m"})
    server.stream("/v1/chat/completions", *TOKENS)
    server.reply("GET", "/v1/models/instances", [])
    yield server
    server.close()


@pytest.fixture
def lab(server: ScriptedServer, tmp_path: Path) -> Iterator[BenchCluster]:
    ForkServerState(os.getpid(), ForkServerStage.READY).save(tmp_path)
    with RESTfulClient(server.url) as client:
        yield BenchCluster(PlayedCluster(tmp_path, server.url), client, Subject())


def stages(server: ScriptedServer, uid: str, *reports: dict[str, Any]) -> None:
    """Let the launch be here and then there."""
    server.answer("GET", f"/v1/models/{uid}/progress", *(Answer({"error": None, **each}) for each in reports))


def asked(server: ScriptedServer) -> list[tuple[str, str]]:
    return [(each.method, each.path) for each in server.asked]


@pytest.mark.parametrize(
    ("uid", "measure"), [("cold", measurements.cold), ("warm", measurements.warm), ("plain", measurements.plain)]
)
def test_a_launch_is_followed_and_then_asked(
    lab: BenchCluster, server: ScriptedServer, uid: str, measure: Callable[[BenchCluster], Sample]
) -> None:
    stages(server, uid, {"stage": "loading"}, {"stage": "ready"})
    sample = measure(lab)
    assert sum(sample.parts.values()) == pytest.approx(sample.value, abs=0.001)
    progress = ("GET", f"/v1/models/{uid}/progress")
    launch, question = ("POST", "/v1/models"), ("POST", "/v1/chat/completions")
    assert asked(server) == [launch, progress, progress, question, progress]
    body = server.asked[0].body
    assert (body["model_name"], body["model_uid"], body["n_gpu"]) == ("tiny-chat", uid, None)
    assert server.asked[0].params == {"wait_ready": "false"}


def test_a_failed_launch_tells_why(lab: BenchCluster, server: ScriptedServer) -> None:
    stages(server, "cold", {"stage": "failed", "error": "Out of memory."})
    with pytest.raises(LaunchFailed, match="Out of memory"):
        measurements.cold(lab)
    assert ("POST", "/v1/chat/completions") not in asked(server)


def test_a_second_replica_has_to_be_ready(lab: BenchCluster, server: ScriptedServer) -> None:
    stages(server, "twice", {"stage": "ready"})
    server.reply("POST", "/v1/models/twice/replicas", {"replica_id": 1})
    one_of_two = [{"replica_statuses": [{"status": "READY"}, {"status": status}]} for status in ("LOADING", "READY")]
    server.answer("GET", "/v1/models/instances", *(Answer([each]) for each in one_of_two))
    with pytest.raises(LaunchFailed, match="not ready"):
        measurements.second_replica(lab)
    assert measurements.second_replica(lab).value > 0
    (body,) = {json.dumps(each.body) for each in server.asked if each.path.endswith("/replicas")}
    assert json.loads(body)["replica"] == 1


def test_wake_asks_a_model_that_sleeps(lab: BenchCluster, server: ScriptedServer) -> None:
    stages(server, "sleeper", {"stage": "ready"})
    states = [{"status": status, "replica_statuses": []} for status in ("READY", "READY", "SLEEPING")]
    server.answer("GET", "/v1/models/instances", *(Answer([each]) for each in states))
    assert measurements.wake(lab).value > 0
    assert server.asked[0].body["idle_timeout"] == 2
    assert asked(server).index(("POST", "/v1/chat/completions")) > asked(server).index(("GET", "/v1/models/instances"))


def test_terminate_ends_when_all_is_gone(lab: BenchCluster, server: ScriptedServer) -> None:
    stages(server, "brief", {"stage": "ready"})
    server.reply("GET", "/v1/models/instances", [{"replica_statuses": []}])
    server.reply("DELETE", "/v1/models/brief", None)
    assert list(measurements.terminate(lab).parts) == ["answered", "until gone"]
    assert asked(server)[-1] == ("DELETE", "/v1/models/brief")


def test_what_is_left_of_a_measurement_is_taken_down(lab: BenchCluster, server: ScriptedServer) -> None:
    stages(server, "cold", {"stage": "failed", "error": "No."})
    server.reply("GET", "/v1/models/instances", [{"model_uid": "cold"}])
    server.reply("DELETE", "/v1/models/cold", None)
    with pytest.raises(LaunchFailed, match=r"No\."):
        _measure_and_clear(measurements.cold, lab)
    assert asked(server)[-1] == ("DELETE", "/v1/models/cold")


def test_an_interrupt_asks_the_cluster_nothing_more(lab: BenchCluster, server: ScriptedServer) -> None:
    def interrupted(_: BenchCluster) -> Sample:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _measure_and_clear(interrupted, lab)
    assert server.asked == []


def test_a_cluster_that_does_not_start_is_a_failure_of_all_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Cluster, *words: str) -> None:
        raise LaunchFailed("No room.")

    monkeypatch.setattr(Cluster, "start", refuse)
    record = Record(["warm", "wake", "off"])
    Round(Subject(), record).run(["warm", "wake", "off"])
    assert {name: each.failures for name, each in record.rows.items()} == {
        "warm": ["No room."], "wake": ["No room."], "off": ["No room."],
    }  # fmt: skip


class Rounds:
    """In place of what takes minutes."""

    def __init__(self, _: Subject, record: Record) -> None:
        self._record = record

    def run(self, names: list[Name]) -> None:
        for name in names:
            self._record.take(name, lambda name=name: self._measured(name))

    def _measured(self, name: Name) -> Sample:
        if name == "wake":
            raise LaunchFailed("It does not sleep.")
        return Sample(2.0, dict.fromkeys(("idle_pss", "idle_private", "beside_pss", "beside_private", "loading"), 0.4))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs the command without any cluster."""
    monkeypatch.setattr(job, "Round", Rounds)
    return lambda *words: CliRunner().invoke(xinfer, ["bench-launch", *words])


def test_the_command(quick: Callable[..., Any], tmp_path: Path) -> None:
    facts, picture = tmp_path / "x.json", tmp_path / "x.png"
    found = quick("--runs", "2", "--json", str(facts), "--plot", str(picture), "--max-num-seqs", "8")
    assert found.exit_code == 1, "a row has no sample"
    assert "Warning: wake: It does not sleep." in found.stderr
    assert "run 2 of 2, warm: 2.00 s" in found.stderr
    machine, software, _, table = found.stdout.split("\n")[:4]
    assert machine.startswith("This machine: ")
    assert "xinfer " in software
    assert table.startswith("WHAT")
    rows = json.loads(facts.read_text())["rows"]
    assert list(rows) == [name for name in round_order() if name in NAMES]
    assert (len(rows["warm"]["samples"]), len(rows["off"]["samples"])) == (2, 1)
    assert json.loads(facts.read_text())["arguments"]["engine_args"] == {"max_num_seqs": 8}
    assert picture.read_bytes().startswith(b"\x89PNG")


def round_order() -> list[str]:
    """The order of the table."""
    return ["bare", "warm", "cold", "plain", "serve", "replica", "wake", "terminate", "memory", "off"]


def test_some_rows_and_json_alone(quick: Callable[..., Any]) -> None:
    found = quick("--only", "terminate", "--only", "bare", "--json", "-", "--runs", "1")
    assert found.exit_code == 0, found.output
    assert list(json.loads(found.stdout)["rows"]) == ["bare", "terminate"]


@pytest.mark.parametrize(
    "words",
    [["--runs", "0"], ["--only", "nothing"], ["stray"], ["--n-gpu", "many"], ["--json", "no/such/folder.json"]],
)
def test_a_misuse(quick: Callable[..., Any], words: list[str]) -> None:
    found = quick(*words)
    assert (found.exit_code, found.stdout) == (2, "")


def test_a_model_that_is_not_there_is_refused_before_anything_starts(quick: Callable[..., Any], tmp_path: Path) -> None:
    found = quick("--model-path", str(tmp_path))
    assert (found.exit_code, found.stdout) == (1, "")
    assert "run 1" not in found.stderr


def test_help_imports_next_to_nothing() -> None:
    _, imported = help_of("bench-launch")
    assert imported.isdisjoint({"aiohttp", "matplotlib", "requests", "ray", "supervisor", "worker"})
