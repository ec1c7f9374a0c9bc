"""The README's first command as a person runs it: ``make serve``, the three things it says to try, Ctrl-C, and nothing left."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT
from tests.waiting import wait_for
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.environment import MARK
from xinfer.cluster.ports import is_free

pytestmark = pytest.mark.engine

PORT = 9997
DEADLINE_S = 180


class Serve:
    """``make serve`` in a session of its own, its output collected line by line."""

    def __init__(self, home: Path) -> None:
        env = {**os.environ, "XINFER_HOME": str(home)}
        self.process = subprocess.Popen(
            ["make", "--no-print-directory", "serve"],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            self.lines.extend(iter(output.readline, ""))

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def interrupt(self) -> int:
        """Ctrl-C: the signal goes to the whole foreground group."""
        os.killpg(self.process.pid, signal.SIGINT)
        code = self.process.wait(60)
        self._reader.join(5)
        return code


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    if not is_free("127.0.0.1", PORT):
        pytest.fail(f"this test needs port {PORT}, and something listens there")
    return Serve(tmp_path)


def test_make_serve(serve: Serve, tmp_path: Path) -> None:
    try:
        wait_for(
            lambda: "Ctrl-C stops it" in serve.text or serve.process.poll() is not None, DEADLINE_S, "the ready line"
        )
        assert f"xinfer is ready at http://127.0.0.1:{PORT}" in serve.text, serve.text
        assert "starting Ray" in serve.text
        # One that is shorter than the poll's period may be missing.
        stages = ("placing", "starting", "loading", "warming up")
        assert any(f"tiny-chat-rep0: {stage}" in serve.text for stage in stages), "a launch shows its stages"
        assert re.search(r"tiny-chat is ready after .* loading ", serve.text), "and how long each took"
        check_what_it_says_to_try(serve.text)
        record = ClusterRecord.load(tmp_path)
        assert record is not None
        assert only_loopback(record.id) == []
        code = serve.interrupt()
    finally:
        if serve.process.poll() is None:
            serve.interrupt()
    assert code in (0, -signal.SIGINT), serve.text  # make ends itself by the signal once xinfer has ended
    assert not marked(record.id)
    assert is_free("127.0.0.1", PORT)
    assert "Stopped." in serve.text


def check_what_it_says_to_try(text: str) -> None:
    """Run the three, copied from the screen."""
    curl = re.search(r"^  (curl .*?\}')\n", text, re.MULTILINE | re.DOTALL)
    chat = re.search(r'^  (\S*xinfer chat .*")$', text, re.MULTILINE)
    python = re.search(r"^  (from xinfer.client.*)", text, re.MULTILINE | re.DOTALL)
    assert curl
    assert chat
    assert python
    answer = json.loads(shell(curl[1]))
    assert "blue whale" in answer["choices"][0]["message"]["content"].lower()
    assert "blue whale" in shell(chat[1]).lower()
    code = "\n".join(line.strip() for line in python[1].split("\n\n")[0].splitlines())
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert "blue whale" in done.stdout.lower()


def shell(command: str) -> str:
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True).stdout


def marked(cluster_id: str) -> list[psutil.Process]:
    """Living processes that belong to the cluster."""
    return [p for p in psutil.process_iter() if environment(p).get(MARK) == cluster_id]


def environment(process: psutil.Process) -> dict[str, str]:
    try:
        return {} if process.status() == psutil.STATUS_ZOMBIE else process.environ()
    except psutil.Error:
        return {}


def only_loopback(cluster_id: str) -> list[str]:
    """What of xinfer's own listens on other addresses; Ray's control ports, guarded by its token, are documented."""
    ours = ("haproxy", "worker.engine_server", "VLLM::")
    found = []
    for process in marked(cluster_id):
        title = " ".join(process.cmdline())
        sockets = [c for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        outward = [c.laddr for c in sockets if not c.laddr.ip.startswith(("127.", "::1", "::ffff:127."))]
        if outward and any(name in title for name in ours):
            found.append(f"{title[:80]}: {outward}")
    return found
