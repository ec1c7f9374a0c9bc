"""The end of a server under load: it drains, says so to what is left, and hurries when it is told twice."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.conftest import ROOT, RunningCluster
from tests.faults.engines import Ended, chat
from tests.shell import Shell
from tests.waiting import wait_for
from xinfer.client import RESTfulClient
from xinfer.cluster.lifecycle import NodeLifecycle
from xinfer.cluster.ports import free_port

# A cluster of its own for each way to stop it.
pytestmark = pytest.mark.heavy

FOLDER = str(ROOT / "xinfer" / "tiny_chat" / "model")


@contextmanager
def foreground(drain_timeout_s: float) -> Iterator[tuple[subprocess.Popen[bytes], RunningCluster]]:
    """``xinfer start --foreground`` with a model ``slow``, ten tokens a second."""
    with tempfile.TemporaryDirectory(prefix="xi-", dir="/tmp") as folder:
        shell = Shell(Path(folder), free_port("127.0.0.1"))
        words = ["start", "--foreground", "--allow-fake-engine", "--no-warm-host", "--port", str(shell.port)]
        argv = shell.argv(*words, "--drain-timeout", f"{drain_timeout_s:g}")
        with subprocess.Popen(argv, env=shell.env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            try:
                assert process.stderr
                while b"Ctrl-C stops it" not in (line := process.stderr.readline()):
                    assert line, "it did not start"
                threading.Thread(target=process.stderr.read, daemon=True).start()
                cluster = RunningCluster(f"http://127.0.0.1:{shell.port}", shell.home, NodeLifecycle(shell.home))
                with RESTfulClient(cluster.endpoint) as client:
                    client.launch_model(
                        "fake", model_engine="fake", model_uid="slow", model_path=FOLDER, n_gpu=None, gap_s=0.1
                    )
                yield process, cluster
            finally:
                shell("stop", "--drain-timeout", "0")
                process.wait(30)


def begin(pool: ThreadPoolExecutor, cluster: RunningCluster, *tokens: int) -> list[Future[Ended]]:
    """Streams of so many tokens, all of which have begun."""
    begun = [threading.Event() for _ in tokens]
    streams = [
        pool.submit(chat, cluster, "slow", max_tokens=each, begun=event)
        for each, event in zip(tokens, begun, strict=True)
    ]
    assert all(event.wait(10) for event in begun)
    return streams


def refused(cluster: RunningCluster) -> bool:
    body = {"model": "slow", "messages": [{"role": "user", "content": "Hi"}]}
    answer = requests.post(f"{cluster.endpoint}/v1/chat/completions", json=body, timeout=5)
    return answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1


def test_sigterm_drains_and_the_rest_ends_with_an_error() -> None:
    with ThreadPoolExecutor(8) as pool, foreground(drain_timeout_s=4) as (process, cluster):
        streams = begin(pool, cluster, *[20] * 4, *[1000] * 4)
        short, long = streams[:4], streams[4:]
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: refused(cluster), 3, "new requests being refused")
        assert {(each.result().end, each.result().tokens >= 20) for each in short} == {("done", True)}
        ended = [each.result() for each in long]
        assert {each.end for each in ended} == {"error"}
        assert all("The cluster was stopped" in each.text for each in ended)
        assert max(each.seconds for each in ended) < 8
        assert process.wait(20) == 0


def test_a_second_signal_ends_at_once() -> None:
    with ThreadPoolExecutor(4) as pool, foreground(drain_timeout_s=60) as (process, cluster):
        streams = begin(pool, cluster, *[1000] * 4)
        process.send_signal(signal.SIGINT)
        time.sleep(1)
        assert process.poll() is None
        assert not any(stream.done() for stream in streams)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert time.monotonic() - began < 2
        assert {stream.result(10).end for stream in streams} == {"cut"}
