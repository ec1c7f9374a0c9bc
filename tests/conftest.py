"""What all tests share: one cluster and one engine per session, started when the first test asks for them."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from xinfer.client import RESTfulClient
from xinfer.cluster.lifecycle import NodeLifecycle
from xinfer.cluster.options import StartOptions

ROOT = Path(__file__).resolve().parent.parent
FIGURES = pytest.StashKey[list[str]]()
"""What tests have measured, in lines for the end of the report."""


ALONE = ("tests/e2e", "tests/performance", "tests/gpu")
"""Folders whose tests measure, or start whole clusters: one after the other, on the cluster they share."""
READERS = ("tests/docs", "tests/clients")
"""Folders whose tests only use a cluster: they have one of their own, beside that."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tell pytest-xdist (``--dist loadgroup``) which tests share a worker, and with it the cluster of its session."""
    for item in items:
        folder = item.path.relative_to(ROOT).as_posix()
        if folder.startswith(ALONE):
            item.add_marker(pytest.mark.xdist_group("cluster"))
        elif folder.startswith(READERS):
            item.add_marker(pytest.mark.xdist_group("readers"))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Show the figures, which no test asserts."""
    for number, line in enumerate(config.stash.get(FIGURES, [])):
        if number == 0:
            terminalreporter.section("figures")
        terminalreporter.line(line)


@dataclass(frozen=True)
class RunningCluster:
    """A cluster under test."""

    endpoint: str
    home: Path
    lifecycle: NodeLifecycle

    @property
    def env(self) -> dict[str, str]:
        """What a shell needs to use it: the endpoint, its folder, and the command line on the path."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {**os.environ, "XINFER_ENDPOINT": self.endpoint, "XINFER_HOME": str(self.home), "PATH": path}

    def run(
        self, *words: str, timeout_s: float = 120, check: bool = True, **kwargs: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run ``xinfer WORDS`` in a process of its own."""
        argv = [sys.executable, "-m", "xinfer.cli", *words]
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run(argv, env=self.env, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, **kwargs)
        assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_for(condition: Callable[[], object], deadline_s: float = 30.0, what: str = "the condition") -> Any:
    """Poll until ``condition`` returns something true, and return that; fail after ``deadline_s`` seconds."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    pytest.fail(f"{what} did not come true within {deadline_s} s")


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> list[str]:
    """Lines that the end of the run's report shows."""
    return request.config.stash.setdefault(FIGURES, [])


@pytest.fixture(scope="session")
def cluster() -> Iterator[RunningCluster]:
    """A real cluster: Ray, Serve, HAProxy, registry and supervisor, on free ports and in a folder of its own."""
    home = Path(tempfile.mkdtemp(prefix="xi-", dir="/tmp"))
    lifecycle = NodeLifecycle(home)
    # Two workers may start one each: which ports are free is asked before they are taken.
    with (Path(tempfile.gettempdir()) / "xinfer-tests-start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        options = StartOptions(port=free_port(), ray_port=free_port(), num_gpus=2, allow_fake_engine=True)
        for _ in lifecycle.start(options):
            pass
    yield RunningCluster(options.endpoint, home, lifecycle)
    lifecycle.stop()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def client(cluster: RunningCluster) -> Iterator[RESTfulClient]:
    """A blocking client of the cluster."""
    with RESTfulClient(cluster.endpoint) as client:
        yield client


@pytest.fixture(scope="session")
def tiny_chat(cluster: RunningCluster) -> str:
    """The UID of ``tiny-chat`` on real vLLM, launched once and shared."""
    with RESTfulClient(cluster.endpoint) as client:
        return client.launch_model("tiny-chat", n_gpu=None, wait_ready=True)


@pytest.fixture
def launch_fake(client: RESTfulClient, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Launch a fake engine: ``launch_fake("uid", tokens=5)``; it is terminated with the test."""
    folder = ROOT / "xinfer" / "tiny_chat" / "model"
    uids: set[str] = set()

    def launch(uid: str, *, replica: int = 1, n_gpu: Any = None, wait_ready: bool = True, **options: Any) -> str:
        """``options`` are ``launch_model``'s keywords, or else fields of the fake engine's ``Behaviour``."""
        uids.add(uid)
        return client.launch_model(
            "fake",
            model_engine="fake",
            model_uid=uid,
            replica=replica,
            n_gpu=n_gpu,
            wait_ready=wait_ready,
            **{"model_path": str(folder), **options},
        )

    yield launch
    for uid in uids:
        if client.get_instance_info(None, uid):
            client.terminate_model(uid)
