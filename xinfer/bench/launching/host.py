"""The warm host of a node, as the benchmark sees it: how far it is, and its processes."""

from __future__ import annotations

import time
from pathlib import Path

import psutil

from xinfer.cluster.fork_server import MODULE, ForkServerStage, ForkServerState
from xinfer.cluster.processes import of_cluster
from xinfer.errors import LaunchFailed

_POLL_PERIOD_S = 0.1


def wait_until_ready(home: Path, timeout_s: float = 120.0, appears_s: float = 20.0) -> None:
    """Return when it is ready; ``LaunchFailed`` if it fails, is not ready in time, or there is none."""
    began = time.monotonic()
    while (state := ForkServerState.load(home)) is None or state.stage is not ForkServerStage.READY:
        waited_s = time.monotonic() - began
        failed = state is not None and state.stage is ForkServerStage.FAILED
        if failed or waited_s > (timeout_s if state else appears_s):
            if state:
                seen = state.error or state.stage.value
            else:
                seen = "there is none"
            raise LaunchFailed(f"The node's warm host is not ready after {waited_s:.0f} s ({seen}).")
        time.sleep(_POLL_PERIOD_S)


def processes(cluster_id: str) -> list[psutil.Process]:
    """Those of a cluster's warm host; engines that it forked and that kept its command line are among them."""
    return [process for process in of_cluster(cluster_id) if MODULE in _command(process)]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
