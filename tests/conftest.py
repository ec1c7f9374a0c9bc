"""What all tests share: one cluster and one engine per session, and how tests are spread over workers of pytest-xdist."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from xinfer.client import RESTfulClient
from xinfer.cluster.lifecycle import NodeLifecycle
from xinfer.cluster.options import StartOptions
from xinfer.cluster.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
FIGURES = "figures"
"""The property of a test's report that holds what it has measured, in lines for the end of the run."""

# In the background it would compile each model that a test launches with other arguments.
os.environ.setdefault("XINFER_CPU_COMPILATION", "never")

OWN_CLUSTERS = ("test_cluster_commands", "test_make_serve", "test_open_cluster")
"""Modules that start clusters of their own: the longest ones that do not need the shared cluster."""


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put tests into groups, each of which one worker runs (``--dist loadgroup``), the longest group first.

    Without pytest-xdist only the order of tests changes.
    """
    groups: dict[str, list[pytest.Item]] = {"cluster": [], "own-clusters": []}
    # Its marker is one that pytest knows only with it.
    has_workers = config.pluginmanager.hasplugin("xdist")
    for item in items:
        group = _group_of(item)
        if has_workers:
            item.add_marker(pytest.mark.xdist_group(group))
        groups.setdefault(group, []).append(item)

    # Workers take groups in the order of collection (``--no-loadscope-reorder``). The shared cluster's tests decide how
    # long the whole run takes, so they have to begin at once.
    items.clear()
    for members in groups.values():
        items.extend(members)


def _group_of(item: pytest.Item) -> str:
    if "cluster" in getattr(item, "fixturenames", ()):
        return "cluster"
    if item.path.stem in OWN_CLUSTERS:
        return "own-clusters"

    # A whole module, so that what its tests share is made once.
    return str(item.path.relative_to(ROOT).with_suffix(""))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show the figures, which no test asserts."""
    lines: list[str] = []
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "teardown":
                lines.extend(dict(report.user_properties).get(FIGURES, []))

    if lines:
        terminalreporter.section("figures")
    for line in lines:
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


@pytest.fixture(scope="session", autouse=True)
def no_home_of_its_user() -> Iterator[None]:
    """A folder in place of ``~/.xinfer``, where a cluster of whoever runs the tests, or its key, may be."""
    with tempfile.TemporaryDirectory(prefix="xi-", dir="/tmp") as home, pytest.MonkeyPatch.context() as environment:
        environment.setenv("XINFER_HOME", home)
        yield


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Lines that the end of the run's report shows."""
    lines: list[str] = []
    yield lines
    # Properties of a report travel from a worker of pytest-xdist to the process that prints the summary.
    request.node.user_properties.append((FIGURES, lines))


@pytest.fixture(scope="session")
def cluster() -> Iterator[RunningCluster]:
    """A real cluster: Ray, Serve, HAProxy, registry and supervisor, on free ports and in a folder of its own."""
    home = Path(tempfile.mkdtemp(prefix="xi-", dir="/tmp"))
    lifecycle = NodeLifecycle(home)
    options = StartOptions(
        port=free_port("127.0.0.1"), ray_port=free_port("127.0.0.1"), num_gpus=2, allow_fake_engine=True
    )
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
