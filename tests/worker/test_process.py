"""Child processes: begun together, ended together, never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.waiting import wait_for
from tests.worker.groups import group_of, is_alive
from worker.process import ProcessGroup, ReservedPort
from xinfer.process_lifetime import PARENT_VARIABLE

ROOT = Path(__file__).resolve().parents[2]
STUBBORN = "trap '' TERM; (trap '' TERM; echo $BASHPID >&2; while :; do sleep 1; done) & while :; do sleep 1; done"
DIES_WITH_PARENT = """
import time
from xinfer.process_lifetime import die_with_parent
die_with_parent()
print("up", flush=True)
time.sleep(60)
"""
PARENT = f"""
import os, subprocess, sys, time
env = {{**os.environ, {PARENT_VARIABLE!r}: str(os.getpid())}}
child = subprocess.Popen([sys.executable, "-c", {DIES_WITH_PARENT!r}], env=env, stdout=subprocess.PIPE, start_new_session=True)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""


async def start(script: str, log: Path) -> ProcessGroup:
    return await ProcessGroup.start(["bash", "-c", script], dict(os.environ), log)


async def test_output_and_environment(tmp_path: Path) -> None:
    log = tmp_path / "deep" / "log"
    env = {"PATH": os.environ["PATH"], "A": "b"}
    for _ in range(2):
        group = await ProcessGroup.start(
            ["bash", "-c", f"echo $A ${PARENT_VARIABLE} $HOME; echo oops >&2; exit 3"], env, log
        )
        assert await group.wait() == 3
        assert group.exit_code == 3
        await group.stop(1)
    assert log.read_text() == f"b {os.getpid()}\noops\n" * 2


async def test_child_that_goes_when_asked(tmp_path: Path) -> None:
    group = await start("sleep 60", tmp_path / "log")
    assert group.exit_code is None
    began = time.monotonic()
    await group.stop(grace_s=10)
    assert time.monotonic() - began < 3
    assert group.exit_code == -signal.SIGTERM
    assert group_of(group.pid) == []


async def test_whole_group_goes_even_if_nobody_wants_to(tmp_path: Path) -> None:
    group = await start(STUBBORN, tmp_path / "log")
    wait_for(lambda: len(group_of(group.pid)) >= 3 and (tmp_path / "log").read_text(), 5)
    await group.stop(grace_s=0.2)
    assert group.exit_code == -signal.SIGKILL
    wait_for(lambda: not group_of(group.pid), 2)


async def test_descendants_go_after_the_child_has_ended_by_itself(tmp_path: Path) -> None:
    group = await start("sleep 60 & exit 0", tmp_path / "log")
    assert await group.wait() == 0
    assert len(group_of(group.pid)) == 1
    await group.stop(grace_s=0.1)
    wait_for(lambda: not group_of(group.pid), 2)
    await group.stop(grace_s=0.1)
    assert group.exit_code == 0


async def test_kill_is_noticed(tmp_path: Path) -> None:
    group = await start("sleep 60", tmp_path / "log")
    os.kill(group.pid, signal.SIGKILL)
    assert await asyncio.wait_for(group.wait(), 2) == -signal.SIGKILL
    await group.stop(1)


def test_child_dies_when_its_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.kill()
        wait_for(lambda: not is_alive(child), 2)


def test_child_whose_parent_is_gone_already_ends_at_once() -> None:
    env = {**os.environ, PARENT_VARIABLE: str(2**22 - 1)}
    done = subprocess.run([sys.executable, "-c", DIES_WITH_PARENT], env=env, cwd=ROOT, capture_output=True, timeout=10)
    assert (done.returncode, done.stdout) == (1, b"")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_reserved_port_can_be_listened_on(host: str) -> None:
    port = ReservedPort(host)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((host, port.number))
        server.listen()
        with socket.create_connection((host, port.number), timeout=2) as client:
            assert client.getpeername()[1] == port.number
    port.close()


def test_reserved_port_is_handed_to_nobody() -> None:
    port = ReservedPort("127.0.0.1")
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port.number))
    others = [ReservedPort("127.0.0.1") for _ in range(200)]
    assert len({port.number, *(each.number for each in others)}) == 201
    for each in (port, *others):
        each.close()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port.number))


def test_reserved_port_does_not_answer() -> None:
    port = ReservedPort("127.0.0.1")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port.number), timeout=2)
    port.close()
