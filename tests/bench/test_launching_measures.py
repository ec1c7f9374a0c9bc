"""The parts that measure launches, against small processes and servers of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.client.scripted_server import Answer, ScriptedServer
from tests.conftest import ROOT
from tests.waiting import wait_for
from worker.command import MIDDLEWARE, engine_argv
from worker.engine_kind import fake_argv
from xinfer.bench.launching import bare, measurements, serve
from xinfer.bench.launching.bench_cluster import fork_server_processes, wait_for_fork_server
from xinfer.bench.launching.cluster import Cluster, own_cluster
from xinfer.bench.launching.first_token import awaited_first_token, first_token
from xinfer.bench.launching.footprint import Footprint, engine_processes
from xinfer.bench.launching.job import Record
from xinfer.bench.launching.sample import Sample
from xinfer.bench.launching.subject import Subject
from xinfer.client import RESTfulClient
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.environment import MARK
from xinfer.cluster.fork_server import MODULE, ForkServerStage, ForkServerState
from xinfer.cluster.ports import free_port
from xinfer.errors import LaunchFailed, LaunchRefused, ModelOverloaded, Unavailable
from xinfer.messages import ModelSpec
from xinfer.settings import EngineSettings

TOKENS = (
    b'data: {"choices": [{"delta": {"role": "assistant"}}]}\n\n',
    b'data: {"choices": [{"delta": {"content": "A"}}]}\n\n',
    b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n',
)
Held = tuple[subprocess.Popen[str], int, int, Path]
CHAT = "/v1/chat/completions"
LISTEN = """
import mmap, os, socket, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"], stdout=subprocess.PIPE)
child.stdout.readline()
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
shared = open(sys.argv[2], "wb+")
shared.truncate(4096)
mapped = mmap.mmap(shared.fileno(), 4096)
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.close()


def fake_bare(spec: ModelSpec, host: str, port: int) -> bare.Command:
    """The fake engine, under the name of the model that bare vLLM would have."""
    argv = fake_argv(ModelSpec(spec.uid, "fake", "", engine_args={"load_s": 0.3}), EngineSettings(), host, port)
    return bare.Command(argv, dict(os.environ))


class TestFirstToken:
    def test_it_is_the_first_with_content(self, server: ScriptedServer) -> None:
        server.stream(CHAT, *TOKENS)
        assert first_token(server.url + CHAT, {"model": "m"}, 10) > 0
        assert server.asked[0].body == {"model": "m", "stream": True}

    def test_an_error_is_raised_as_the_server_gave_it(self, server: ScriptedServer) -> None:
        error = ModelOverloaded("full")
        server.answer("POST", CHAT, Answer(error.body(), error.status))
        with pytest.raises(ModelOverloaded, match="full"):
            first_token(server.url + CHAT, {}, 10)

    @pytest.mark.parametrize("pieces", [TOKENS[:1], TOKENS[:2], TOKENS[2:]])
    def test_no_answer_without_a_token_or_an_end(self, server: ScriptedServer, pieces: tuple[bytes, ...]) -> None:
        server.stream(CHAT, *pieces)
        with pytest.raises((Unavailable, LaunchFailed, RuntimeError)):
            first_token(server.url + CHAT, {}, 10)

    def test_nobody_listens(self) -> None:
        with pytest.raises(Unavailable):
            first_token(f"http://127.0.0.1:{free_port('127.0.0.1')}{CHAT}", {}, 10)

    def test_a_server_that_comes_up_is_asked_again(self, server: ScriptedServer) -> None:
        away, unknown = Unavailable("loading"), {"detail": "no such model"}
        answers = Answer("no backend yet", 500), Answer(away.body(), 503), Answer(unknown, 404), Answer(pieces=TOKENS)
        server.answer("POST", CHAT, *answers)
        looks: list[None] = []
        awaited_first_token(
            server.url + CHAT, {}, 10, alive=lambda: True, period_s=0.01, look=lambda: looks.append(None)
        )
        assert len(server.asked) == len(looks) == 4

    def test_a_server_that_ended_is_not(self, server: ScriptedServer) -> None:
        with pytest.raises(LaunchFailed, match="ended"):
            awaited_first_token(server.url + CHAT, {}, 10, alive=lambda: False, period_s=0.01)
        assert len(server.asked) == 1

    def test_there_is_an_end_to_waiting(self, server: ScriptedServer) -> None:
        with pytest.raises(LaunchFailed, match=r"within 0\.05 s: no route"):
            awaited_first_token(server.url + CHAT, {}, 0.05, alive=lambda: True, period_s=0.01)


class TestBare:
    def test_it_is_the_worker_s_command_without_what_is_ours(self) -> None:
        spec = Subject(engine_args={"max_num_seqs": 8}).spec
        ours = engine_argv(spec, EngineSettings(), "127.0.0.1", 1)
        command = bare.bare_command(spec, "127.0.0.1", 1)
        argv = command.argv
        assert command.env["VLLM_NO_USAGE_STATS"] == "1"
        assert argv[:3] == [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
        assert [word for word in ours if word not in argv] == ["worker.engine_server", "--middleware", MIDDLEWARE]
        assert "--enforce-eager" in argv
        assert argv[argv.index("--max-num-seqs") + 1] == "8"

    def test_from_exec_to_the_first_token_by_stage(self, tmp_path: Path) -> None:
        before = {process.pid for process in psutil.Process().children()}
        sample = bare.measure_bare(ModelSpec("bare", "m", ""), tmp_path, fake_bare)
        assert list(sample.parts)[:2] == ["starting", "loading"]
        assert sum(sample.parts.values()) == pytest.approx(sample.value, abs=0.001)
        assert sample.parts["loading"] > 0.1
        assert {process.pid for process in psutil.Process().children()} <= before

    def test_one_that_fails_says_why_and_is_gone(self, tmp_path: Path) -> None:
        def failing(spec: ModelSpec, host: str, port: int) -> bare.Command:
            argv = [sys.executable, "-c", "raise ValueError('no such model on this disk')"]
            return bare.Command(argv, dict(os.environ))

        with pytest.raises(LaunchFailed, match="no such model on this disk"):
            bare.measure_bare(ModelSpec("bare", "m", ""), tmp_path, failing)


class TestCluster:
    def test_a_failed_start_tells_its_last_words_and_leaves_nothing(self) -> None:
        with own_cluster() as cluster, pytest.raises(LaunchFailed, match="No such option '--nothing'"):
            cluster.start("--nothing")
        assert not cluster.home.exists()

    def test_its_environment_is_its_own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XINFER_HOME", "/somebody/else")
        monkeypatch.setenv("XINFER_ENDPOINT", "http://somebody.else")
        env = Cluster(tmp_path).env
        assert env["XINFER_HOME"] == str(tmp_path)
        assert "XINFER_ENDPOINT" not in env

    def test_whatever_runs_is_ended_with_the_block(self) -> None:
        with own_cluster() as cluster:
            ClusterRecord("bench-launch-test", cluster.endpoint, "", 0.0).save(cluster.home)
            waiting = [sys.executable, "-c", "import time; time.sleep(60)"]
            process = subprocess.Popen(waiting, env={**os.environ, MARK: cluster.id})
            wait_for(lambda: psutil.Process(process.pid).environ().get(MARK), what="the mark")
        assert process.wait(1) == -signal.SIGTERM
        assert not cluster.home.exists()


class TestServe:
    def test_make_serve_on_other_ports(self, tmp_path: Path) -> None:
        cluster = Cluster(tmp_path)
        argv = serve.command(cluster, ROOT)
        shown = subprocess.run([*argv, "-n"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert f"exec {tmp_path}/bin/xinfer start --foreground --launch tiny-chat" in shown
        script = (tmp_path / "bin" / "xinfer").read_text()
        assert script.endswith(f'"$@" {" ".join(cluster.ports)}\n')
        assert os.access(tmp_path / "bin" / "xinfer", os.X_OK)

    def test_without_a_checkout_it_is_the_command_behind_it(self, tmp_path: Path) -> None:
        cluster = Cluster(tmp_path)
        assert serve.command(cluster, None)[2:] == [
            "xinfer.cli",
            *["start", "--foreground", "--launch", "tiny-chat"],
            *cluster.ports,
        ]


class TestFootprint:
    @pytest.fixture
    def held(self, tmp_path: Path) -> Iterator[Held]:
        """A process with a child, a port, and a file in shared memory."""
        port, shared = free_port("127.0.0.1"), Path(f"/dev/shm/xinfer-bench-{os.getpid()}")
        process = subprocess.Popen(
            [sys.executable, "-c", LISTEN, str(port), str(shared)],
            stdout=subprocess.PIPE, text=True, start_new_session=True,
            env={**os.environ, MARK: str(tmp_path)},
        )  # fmt: skip
        assert process.stdout
        child = int(process.stdout.readline())
        yield process, child, port, shared
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        shared.unlink(missing_ok=True)

    def test_what_an_engine_holds_and_what_is_left(self, held: Held) -> None:
        process, child, port, shared = held
        everybody = [psutil.Process(pid) for pid in (process.pid, child, os.getpid())]
        assert {each.pid for each in engine_processes(everybody, [("127.0.0.1", port)])} == {process.pid, child}
        assert engine_processes(everybody, [("127.0.0.1", free_port("127.0.0.1"))]) == []
        engine = tuple(psutil.Process(pid) for pid in (process.pid, child))
        footprint = Footprint(engine, (), (("127.0.0.1", port),), frozenset({shared}))
        assert len(footprint.left({})) == 4
        with pytest.raises(LaunchFailed, match=f"process {process.pid}, process {child}, port {port}, {shared}"):
            footprint.wait_until_gone(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        wait_for(lambda: footprint.left({}) == [str(shared)], what="only shared memory is left")
        shared.unlink()
        footprint.wait_until_gone(1)

    def test_of_a_model_that_runs(self, held: Held, server: ScriptedServer, tmp_path: Path) -> None:
        process, child, port, shared = held
        replica = {"model_address": f"http://127.0.0.1:{port}"}
        server.reply("GET", "/v1/models/instances", [{"replica_statuses": [replica]}])
        with RESTfulClient(server.url) as client:
            found = Footprint.of_model(client, str(tmp_path), "m")
        assert {each.pid for each in found.processes} == {process.pid, child}
        assert (found.addresses, found.shared_memory, found.actors) == ((("127.0.0.1", port),), {shared}, ())


class TestHost:
    @pytest.mark.parametrize(
        ("stage", "told"),
        [(ForkServerStage.FAILED, "no fork"), (ForkServerStage.STARTING, "starting"), (None, "there is none")],
    )
    def test_one_that_does_not_get_ready(self, tmp_path: Path, stage: ForkServerStage | None, told: str) -> None:
        if stage:
            ForkServerState(os.getpid(), stage, "no fork" if stage is ForkServerStage.FAILED else "").save(tmp_path)
        with pytest.raises(LaunchFailed, match=told):
            wait_for_fork_server(tmp_path, timeout_s=0.1, appears_s=0.1)

    def test_one_that_is_ready(self, tmp_path: Path) -> None:
        ForkServerState(os.getpid(), ForkServerStage.READY).save(tmp_path)
        wait_for_fork_server(tmp_path, timeout_s=0.1)

    def test_its_processes_are_known_by_their_module(self) -> None:
        env = {**os.environ, MARK: "bench-host-test"}
        waiting = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
        processes = [
            subprocess.Popen([*waiting, *words], env=env, stdout=subprocess.DEVNULL) for words in ([MODULE], ["other"])
        ]
        try:
            found = wait_for(lambda: fork_server_processes("bench-host-test"), what="the host")
            assert [process.pid for process in found] == [processes[0].pid]
        finally:
            for process in processes:
                process.kill()
                process.wait()

    def test_memory_of_processes(self) -> None:
        own = measurements.memory_use([os.getpid()])
        assert 0 < own.private <= own.pss
        assert measurements.memory_use([os.getpid(), 2**22 + 1]).private > 0, (
            "a process that is gone counts for nothing"
        )
        assert measurements.memory_use([]) == measurements.MemoryUse(0, 0)


class TestRecord:
    def test_a_failure_is_kept_and_the_run_goes_on(self, capsys: pytest.CaptureFixture[str]) -> None:
        def fail() -> Sample:
            raise LaunchFailed("No\n room.")

        record = Record(["warm", "cold"])
        record.title = "run 1 of 2, "
        record.take("warm", lambda: Sample(1.5))
        record.take("warm", fail)
        assert record.rows["warm"].samples == [Sample(1.5)]
        assert record.rows["warm"].failures == ["No room."]
        told = capsys.readouterr().err.splitlines()
        assert told[0].startswith("run 1 of 2, warm: 1.50 s")
        assert list(record.rows) == ["warm", "cold"]
        record.miss("cold", f"{1000 * 'x'} the end")
        assert record.rows["cold"].failures[0].endswith("x the end")
        assert len(record.rows["cold"].failures[0]) < 500

    def test_an_interrupt_ends_the_run(self) -> None:
        def interrupted() -> Sample:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Record(["warm"]).take("warm", interrupted)


class TestSubject:
    def test_the_bundled_model_is_asked_to_chat(self) -> None:
        url, body = Subject().request("http://h:1", "m")
        assert (url, body["model"], body["messages"][0]["role"]) == ("http://h:1/v1/chat/completions", "m", "user")

    def test_a_folder_is_launched_by_its_name(self) -> None:
        folder = str(ROOT / "xinfer" / "tiny_chat" / "model")
        subject = Subject("model", folder, None, {"enforce_eager": True})
        assert subject.launch("u") == {
            "model_name": "model", "model_uid": "u", "model_path": folder, "n_gpu": None, "enforce_eager": True,
        }  # fmt: skip
        assert (subject.spec.path, subject.spec.gpus) == (folder, 0)

    def test_what_cannot_be_launched_is_refused(self) -> None:
        with pytest.raises(LaunchRefused):
            _ = Subject("no-such-model").spec
