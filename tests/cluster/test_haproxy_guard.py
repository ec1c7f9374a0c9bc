"""The stand-in for an HAProxy that died, with the real binary and without Serve."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from tests.waiting import wait_for
from xinfer.cluster import haproxy, haproxy_guard
from xinfer.cluster.ports import free_port

Guarded = tuple[subprocess.Popen[bytes], subprocess.Popen[bytes], subprocess.Popen[bytes]]
"""An HAProxy, its guard, and what is a raylet for them."""
CONFIG = """\
global
    stats socket {folder}/admin.sock mode 600 level admin expose-fd listeners
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend all
    bind 127.0.0.1:{port}
    acl never path /never
    use_backend all if never
    http-request return status 200 content-type text/plain lf-string "%pid"
backend all
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "haproxy.cfg"
    path.write_text(CONFIG.format(folder=tmp_path, port=free_port("127.0.0.1")))
    return path


@pytest.fixture
def guarded(config: Path) -> Iterator[Guarded]:
    """An HAProxy with its guard, as the wrapper starts them."""
    node = subprocess.Popen(["sleep", "60"])
    process = subprocess.Popen([str(haproxy.binary()), "-db", "-f", str(config)])
    wait_for(lambda: pid_at(config) == process.pid, what="HAProxy")
    guard = haproxy_guard.start(process.pid, node.pid, haproxy.binary(), config)
    wait_for(lambda: waits(guard.pid), what="a guard that waits")
    yield process, guard, node
    for each in (process, guard, node):
        each.kill()
        each.wait()


def waits(pid: int) -> bool:
    """Whether it has a descriptor of the process that it guards."""
    try:
        return any(str(link.readlink()) == "anon_inode:[pidfd]" for link in Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:  # one that it has closed meanwhile
        return False


def pid_at(config: Path) -> int | None:
    """The process that answers at the port."""
    port = config.read_text().partition("127.0.0.1:")[2].split()[0]
    try:
        return int(requests.get(f"http://127.0.0.1:{port}/", timeout=1).text)
    except requests.RequestException:
        return None


def test_back_at_once_and_gone_when_the_successor_is_there(config: Path, guarded: Guarded) -> None:
    first, guard, _ = guarded
    assert haproxy_guard.take_over(config) == []
    first.kill()
    first.wait()
    killed_at = time.monotonic()
    stand_in = wait_for(lambda: pid_at(config), what="the stand-in")
    assert time.monotonic() - killed_at < 2
    assert stand_in != first.pid

    sockets = haproxy_guard.take_over(config)
    assert sockets[0] == "-x"
    successor = subprocess.Popen([str(haproxy.binary()), "-db", "-f", str(config), *sockets])
    try:
        while psutil.pid_exists(stand_in):
            assert pid_at(config) in (stand_in, successor.pid), "no connection is refused meanwhile"
        assert guard.wait(10) == 0
        assert pid_at(config) == successor.pid
    finally:
        successor.kill()
        successor.wait()


def test_a_successor_without_backends_begins_with_those_of_the_stand_in(config: Path, guarded: Guarded) -> None:
    """As Serve starts it."""
    first, _, _ = guarded
    served = config.read_text()
    first.kill()
    first.wait()
    wait_for(lambda: pid_at(config), what="the stand-in")
    config.write_text(served.replace("    use_backend all if never\n", ""))
    assert haproxy_guard.take_over(config)[0] == "-x"
    assert config.read_text() == served


def test_a_stand_in_that_dies_has_another(config: Path, guarded: Guarded) -> None:
    first, _, _ = guarded
    first.kill()
    first.wait()
    stand_in = wait_for(lambda: pid_at(config), what="the stand-in")
    assert stand_in
    os.kill(stand_in, 9)
    wait_for(lambda: pid_at(config) not in (None, stand_in), what="another one")


def test_nothing_stands_in_after_a_reload(config: Path, guarded: Guarded) -> None:
    """Serve starts the new one before it ends the old one."""
    first, guard, _ = guarded
    successor = subprocess.Popen([str(haproxy.binary()), "-db", "-f", str(config), "-sf", str(first.pid)])
    try:
        first.wait(10)
        assert guard.wait(10) == 0
        assert pid_at(config) == successor.pid
        assert not config.with_suffix(".stand-in.cfg").exists()
    finally:
        successor.kill()
        successor.wait()


@pytest.mark.parametrize("first_goes", [False, True])
def test_nothing_stands_in_for_a_node_that_is_gone(config: Path, guarded: Guarded, first_goes: bool) -> None:
    first, guard, node = guarded
    if first_goes:
        first.kill()
        first.wait()
        wait_for(lambda: pid_at(config), what="the stand-in")
    node.kill()
    node.wait()
    assert guard.wait(5) == 0
    if first_goes:
        wait_for(lambda: pid_at(config) is None, what="the end of the stand-in")


def test_of_two_guards_one_stands_in(config: Path, guarded: Guarded, tmp_path: Path) -> None:
    """An HAProxy that is lost in the middle of a reload, and its successor with it."""
    first, _, node = guarded
    successor = subprocess.Popen(["sleep", "60"])
    second_guard = haproxy_guard.start(successor.pid, node.pid, haproxy.binary(), config)
    wait_for(lambda: waits(second_guard.pid), what="another guard that waits")
    try:
        for each in (first, successor):
            each.kill()
            each.wait()
        stand_in = wait_for(lambda: pid_at(config), what="the stand-in")
        for _ in range(5):
            assert stand_ins(tmp_path) == [stand_in]
            time.sleep(0.1)
    finally:
        second_guard.kill()
        second_guard.wait()


def stand_ins(folder: Path) -> list[int]:
    """Processes that run HAProxy with a configuration in ``folder``."""
    mine = [each.info for each in psutil.process_iter(["pid", "name", "cmdline"]) if each.info["name"] == "haproxy"]
    return [each["pid"] for each in mine if str(folder) in " ".join(each["cmdline"] or [])]
