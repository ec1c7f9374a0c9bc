"""Debian's real Prometheus: its binaries, and a server of a test's own."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.waiting import wait_for
from xinfer.cluster.ports import free_port
from xinfer.gpus import gpus
from xinfer.monitoring.panels import Dashboard, for_all

_FROM_SETUP = Path(sys.prefix) / "prometheus" / "usr" / "bin"
_START_S = 30.0
_STOP_S = 10.0


def binary(name: str) -> str:
    """``prometheus`` or ``promtool``; without it the test is skipped, and fails where ``CI`` is set."""
    found = shutil.which(name, path=f"{_FROM_SETUP}{os.pathsep}{os.environ['PATH']}")
    if found:
        return found
    why = f"{name} is not installed: `make setup-tests` takes it from Debian, or `apt-get install prometheus`"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


class Prometheus:
    """A server that runs, asked by its HTTP API."""

    def __init__(self, url: str) -> None:
        self._url = url

    def query(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series that an instant query gives."""
        found = self._get("query", query=expr)["result"]
        return [(each["metric"], float(each["value"][1])) for each in found]

    def finite(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """Those whose value is a number."""
        return [(labels, value) for labels, value in self.query(expr) if math.isfinite(value)]

    def targets(self) -> dict[str, list[dict[str, Any]]]:
        """The active targets by job."""
        by_job: dict[str, list[dict[str, Any]]] = {}
        for target in self._get("targets", state="active")["activeTargets"]:
            by_job.setdefault(target["labels"]["job"], []).append(target)
        return by_job

    def firing(self) -> set[tuple[str, str]]:
        """Name and model of each alert that fires."""
        alerts = self._get("alerts")["alerts"]
        return {
            (each["labels"]["alertname"], each["labels"].get("model", ""))
            for each in alerts
            if each["state"] == "firing"
        }

    def _get(self, path: str, **params: str) -> Any:
        query = urllib.parse.urlencode(params)
        with urllib.request.urlopen(f"{self._url}/api/v1/{path}?{query}", timeout=10) as response:
            return msgspec.json.decode(response.read())["data"]

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self._url}/-/ready", timeout=2):
            return True
        return False


def panels_without_data(prometheus: Prometheus, dashboard: Dashboard, deadline_s: float = 60.0) -> list[str]:
    """Queries of a dashboard that give no number within the deadline. Panels of GPUs need a GPU."""
    queries: dict[str, str] = {}
    for panel in dashboard.panels:
        if panel.needs_gpu and not gpus():
            continue
        for query in panel.queries:
            queries[f"{panel.title}: {query.legend}"] = for_all(query.expr, "20s")
    assert queries, dashboard.uid

    def without_data() -> list[str]:
        return [name for name, expr in queries.items() if not prometheus.finite(expr)]

    with contextlib.suppress(pytest.fail.Exception):
        wait_for(lambda: not without_data(), deadline_s, "data in every panel")
    return without_data()


@contextmanager
def running_prometheus(config: Path, folder: Path) -> Iterator[Prometheus]:
    """A server with this configuration, on a free port of loopback, that keeps its data below ``folder``."""
    url = f"127.0.0.1:{free_port('127.0.0.1')}"
    argv = [
        binary("prometheus"),
        f"--config.file={config}",
        f"--web.listen-address={url}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--log.level=warn",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        server = Prometheus(f"http://{url}")
        wait_for(server.is_ready, _START_S, "Prometheus")
        yield server
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
