"""An engine that the fork server has forked: what it is given, how its end is told, and that it never outlives its worker."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT
from tests.waiting import wait_for
from tests.worker.fork_server.fork_servers import RunningForkServer, fork_server, fork_server_environment
from tests.worker.groups import group_of, is_alive
from worker.engine_start import start_forked
from worker.fork_server.client import UNKNOWN_EXIT, ForkedProcess, ForkRefused

FOREVER = "print('up', flush=True)\nwhile True: time.sleep(1)"
WITH_CHILD = """
import os
if os.fork() == 0:
    while True: pass
print('up', flush=True)
time.sleep(3600)
"""
STATE = """
import json, os, signal
print(json.dumps({
    "env": dict(os.environ), "folder": os.getcwd(), "session": os.getsid(0) == os.getpid(), "group": os.getpgrp() == os.getpid(),
    "files": {f: os.readlink(f"/proc/self/fd/{f}") for f in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{f}")},
    "term": signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
}))
"""
WORKER = """
import asyncio, os, sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from worker.fork_server.client import ForkedProcess

async def main():
    engine = await ForkedProcess.start(Path({socket!r}), [{code!r}], dict(os.environ), Path({log!r}), 10)
    print(engine.pid, flush=True)
    time.sleep(3600)  # the event loop stands still: nothing of the worker's own can help

asyncio.run(main())
"""


async def fork(running: RunningForkServer, code: str, log: Path, **env: str) -> ForkedProcess:
    return await ForkedProcess.start(running.socket, [code], {**running.env, **env}, log, 10)


async def up(log: Path) -> None:
    await asyncio.to_thread(wait_for, lambda: "up" in log.read_text(), 5, "the engine")


async def test_what_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own environment, folder, session, signals and log; nothing that is open in the fork server but its death pipe."""
    monkeypatch.chdir(tmp_path)
    log = tmp_path / "logs" / "engine.log"
    with fork_server(tmp_path) as running:
        other = await fork(running, FOREVER, tmp_path / "other.log")
        engine = await fork(running, STATE, log, OF_THE_LAUNCH="yes")
        assert await engine.wait() == 0
        await other.stop(1)
    state = json.loads(log.read_text())
    assert state["env"]["OF_THE_LAUNCH"] == "yes"
    assert state["env"]["SET_BY_IMPORT"] == "1"
    assert state["env"].keys() - running.env.keys() == {"OF_THE_LAUNCH", "SET_BY_IMPORT"}
    assert state["folder"] == str(tmp_path)
    assert state["session"]
    assert state["group"]
    assert state["term"]
    assert state["blocked"] == 0
    files = state["files"]
    assert files.pop("0") == os.devnull
    assert files.pop("1") == files.pop("2") == str(log)
    targets = [target for target in files.values() if not target.startswith("/proc/")]
    assert len([t for t in targets if t.startswith("pipe:")]) <= 1, targets
    assert not [t for t in targets if t.startswith(("socket:", "anon_inode:"))], targets


@pytest.mark.parametrize(
    ("code", "exit_code"), [("pass", 0), ("sys.exit(5)", 5), ("1 / 0", 1), ("import os; os.kill(os.getpid(), 9)", -9)]
)
async def test_exit_code(tmp_path: Path, code: str, exit_code: int) -> None:
    with fork_server(tmp_path) as running:
        engine = await fork(running, code, tmp_path / "log")
        assert await asyncio.wait_for(engine.wait(), 5) == exit_code
        assert engine.exit_code == exit_code
    assert ("ZeroDivisionError" in (tmp_path / "log").read_text()) == (code == "1 / 0")


async def test_end_is_noticed_at_once(tmp_path: Path) -> None:
    with fork_server(tmp_path) as running:
        engine = await fork(running, FOREVER, tmp_path / "log")
        assert engine.exit_code is None
        waiter = asyncio.create_task(engine.wait())
        await asyncio.sleep(0.1)
        began = time.monotonic()
        os.kill(engine.pid, signal.SIGKILL)
        assert await waiter == -signal.SIGKILL
        assert time.monotonic() - began < 0.5


async def test_stop_ends_the_group(tmp_path: Path) -> None:
    with fork_server(tmp_path) as running:
        engine = await fork(running, WITH_CHILD, tmp_path / "log")
        await up(tmp_path / "log")
        assert len(group_of(engine.pid)) == 2
        await engine.stop(0.5)
        await engine.stop(0.5)
        assert group_of(engine.pid) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("stopped", [False, True])
def test_worker_dies(tmp_path: Path, number: signal.Signals, stopped: bool) -> None:
    """The kernel ends the whole group, whatever its processes are doing, even if they are stopped."""
    log = tmp_path / "log"
    with fork_server(tmp_path) as running:
        script = WORKER.format(root=str(ROOT), socket=str(running.socket), code=WITH_CHILD, log=str(log))
        argv = [sys.executable, "-c", script]
        with subprocess.Popen(argv, env=fork_server_environment(), stdout=subprocess.PIPE) as worker:
            assert worker.stdout
            engine = int(worker.stdout.readline())
            wait_for(lambda: "up" in log.read_text(), 5, "the engine")
            group = group_of(engine)
            assert len(group) == 2
            if stopped:
                os.kill(engine, signal.SIGSTOP)
            worker.send_signal(number)
        wait_for(lambda: not any(map(is_alive, group)), 2, "the engine's end")


async def test_fork_server_dies(tmp_path: Path) -> None:
    """The engine lives on, under its worker's eye; only how it ended is not known any more."""
    with fork_server(tmp_path) as running:
        engine = await fork(running, WITH_CHILD, tmp_path / "log")
        await up(tmp_path / "log")
        running.process.kill()
        running.process.wait()
        await asyncio.sleep(0.2)
        assert engine.exit_code is None
        assert is_alive(engine.pid)
        os.kill(engine.pid, signal.SIGKILL)
        assert await asyncio.wait_for(engine.wait(), 5) == UNKNOWN_EXIT
        await engine.stop(0.5)
        assert group_of(engine.pid) == []


async def test_waits_for_a_fork_server_that_is_importing(tmp_path: Path) -> None:
    with fork_server(tmp_path, import_s=1.0) as running:
        engine = await fork(running, "pass", tmp_path / "log")
        assert await engine.wait() == 0


async def test_impatient(tmp_path: Path) -> None:
    """A worker that gave up waiting gets no engine later."""
    with fork_server(tmp_path, import_s=1.5) as running:
        with pytest.raises(ForkRefused, match="does not answer"):
            await ForkedProcess.start(running.socket, [FOREVER], running.env, tmp_path / "log", 0.2)
        after = await fork(running, "pass", tmp_path / "after")
        assert await after.wait() == 0
        wait_for(lambda: not psutil.Process(running.process.pid).children(), 2, "no engine")
    assert "up" not in (tmp_path / "log").read_text()


async def test_cancelled_while_waiting(tmp_path: Path) -> None:
    with fork_server(tmp_path, import_s=1.5) as running:
        waiting = asyncio.create_task(fork(running, FOREVER, tmp_path / "log"))
        await asyncio.sleep(0.3)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        after = await fork(running, "pass", tmp_path / "after")
        assert await after.wait() == 0
        wait_for(lambda: not psutil.Process(running.process.pid).children(), 2, "no engine")


async def test_fork_server_dies_while_it_is_waited_for(tmp_path: Path) -> None:
    with fork_server(tmp_path, import_s=30) as running:
        waiting = asyncio.create_task(fork(running, FOREVER, tmp_path / "log"))
        await asyncio.sleep(0.3)
        running.process.kill()
        with pytest.raises(ForkRefused, match="does not answer"):
            await waiting


@pytest.mark.parametrize("name", ["READ_AT_IMPORT", "OMP_NUM_THREADS", "LD_PRELOAD"])
async def test_variable_that_comes_too_late(tmp_path: Path, name: str) -> None:
    """Refused, and the fork server goes on."""
    with fork_server(tmp_path) as running:
        with pytest.raises(ForkRefused, match=name):
            await fork(running, "pass", tmp_path / "log", **{name: "other"})
        engine = await fork(running, "pass", tmp_path / "log", UNREAD="1", CUDA_VISIBLE_DEVICES="7")
        assert await engine.wait() == 0


async def test_unfit(tmp_path: Path) -> None:
    """A fork server with a second thread says so and ends, so that a fresh one takes its place."""
    with fork_server(tmp_path, dirty=True) as running:
        with pytest.raises(ForkRefused, match="2 threads"):
            await fork(running, "pass", tmp_path / "log")
        assert running.process.wait(5) == 7


async def test_idle_time_is_used_once(tmp_path: Path) -> None:
    """What is found out then is there for all engines; if it fails, they start nonetheless."""
    used = tmp_path / "used"
    with fork_server(tmp_path, when_idle=f"lambda: (open({str(used)!r}, 'a').write('x'), 1 / 0)") as running:
        wait_for(used.exists, 10, "idle time")
        await asyncio.sleep(0.5)
        engine = await fork(running, FOREVER, tmp_path / "log")
        await up(tmp_path / "log")
        await engine.stop(0)
        assert used.read_text() == "x"
        assert running.process.poll() is None


async def test_fallback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a fork server the engine is started in the plain way, and its log says why."""
    monkeypatch.setattr("worker.engine_start.socket_path", lambda: tmp_path / "none.sock")
    log = tmp_path / "log"
    argv = [sys.executable, "-c", "print('started')"]
    engine = await start_forked(argv, dict(os.environ), log)
    assert await engine.wait() == 0
    note, said = log.read_text().splitlines()
    assert note == "xinfer: Starting without the fork server: there is none on this node."
    assert said == "started"
