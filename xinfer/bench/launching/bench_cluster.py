"""A running cluster with the model that is measured on it."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from xinfer.bench.launching.cluster import Cluster
from xinfer.bench.launching.first_token import first_token
from xinfer.bench.launching.footprint import Footprint
from xinfer.bench.launching.sample import Moment, moments
from xinfer.bench.launching.subject import Subject
from xinfer.client import RESTfulClient
from xinfer.cluster.fork_server import MODULE, ForkServerStage, ForkServerState
from xinfer.cluster.processes import command_line, of_cluster
from xinfer.errors import LaunchFailed, ModelNotFound

_RESPONSE_S = 60.0
_LAUNCH_S = 300.0
_POLL_PERIOD_S = 0.1
_ENDED = ("failed", "cancelled", "stopped")


@dataclass(frozen=True, slots=True)
class BenchCluster:
    """What the measurements are made with."""

    cluster: Cluster
    client: RESTfulClient
    subject: Subject

    def launch(self, uid: str, **more: Any) -> None:
        """Launch the model and wait until it is ready. ``LaunchFailed`` if it fails, or takes too long."""
        self.client.launch_model(**{**self.subject.launch(uid), **more}, wait_ready=False)
        self.wait_until_ready(uid)

    def wait_until_ready(self, uid: str) -> None:
        """As ``launch``, for a model whose launch is under way."""
        deadline = time.monotonic() + _LAUNCH_S
        report = self.progress(uid)
        while report["stage"] != "ready":
            if report["stage"] in _ENDED or time.monotonic() > deadline:
                why = report["error"] or f"It is {report['stage']} after {_LAUNCH_S:g} s."
                raise LaunchFailed(f"The model did not come up. {why}")
            time.sleep(_POLL_PERIOD_S)
            report = self.progress(uid)

    def first_token(self, uid: str) -> float:
        """When the first token of a response came, on the clock of ``perf_counter``."""
        url, body = self.subject.request(self.cluster.endpoint, uid)
        return first_token(url, body, _RESPONSE_S)

    def progress(self, uid: str) -> dict[str, Any]:
        return self.client.get_launch_model_progress(uid)

    def moments(self, uid: str) -> list[Moment]:
        """When the stages of the model's launch began."""
        return moments(self.progress(uid))

    def instance(self, uid: str) -> dict[str, Any]:
        """The model in any state, with its replicas."""
        return self.client.get_instance_info(model_uid=uid)[0]

    def wait_for_fork_server(self) -> None:
        """Return when the warm host is ready to fork."""
        wait_for_fork_server(self.cluster.home)

    def fork_server_processes(self) -> list[psutil.Process]:
        return fork_server_processes(self.cluster.id)

    def footprint(self, uid: str) -> Footprint:
        """What the model holds on this machine."""
        return Footprint.of_model(self.client, self.cluster.id, uid)

    def clear(self) -> None:
        """Terminate every model."""
        for instance in self.client.get_instance_info():
            # It may be gone since the list was made.
            with suppress(ModelNotFound):
                self.client.terminate_model(instance["model_uid"])


def wait_for_fork_server(home: Path, timeout_s: float = 120.0, appears_s: float = 20.0) -> None:
    """Return when a node's warm host is ready; ``LaunchFailed`` if it fails, is late, or there is none."""
    began = time.monotonic()
    while True:
        state = ForkServerState.load(home)
        if state is None:
            seen = "there is none"
            limit_s = appears_s
        elif state.stage is ForkServerStage.READY:
            return
        else:
            seen = state.error or state.stage.value
            limit_s = timeout_s
        waited_s = time.monotonic() - began
        failed = state is not None and state.stage is ForkServerStage.FAILED
        if failed or waited_s > limit_s:
            raise LaunchFailed(f"The node's warm host is not ready after {waited_s:.0f} s ({seen}).")
        time.sleep(_POLL_PERIOD_S)


def fork_server_processes(cluster_id: str) -> list[psutil.Process]:
    """Those of a cluster's warm host, and of engines that it forked and that kept its command line."""
    return [process for process in of_cluster(cluster_id) if MODULE in command_line(process)]
