"""A running cluster with the model that is measured on it."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from xinfer.bench.launching import host
from xinfer.bench.launching.cluster import Cluster
from xinfer.bench.launching.first_token import first_token
from xinfer.bench.launching.footprint import Footprint
from xinfer.bench.launching.sample import Sample
from xinfer.bench.launching.subject import Subject
from xinfer.bench.launching.timeline import durations, moments
from xinfer.client import RESTfulClient
from xinfer.errors import LaunchFailed, ModelNotFound

_ANSWER_S = 60.0
_LAUNCH_S = 300.0
_POLL_PERIOD_S = 0.1
_GIVEN_UP = ("failed", "cancelled", "stopped")


class Clock:
    """Begins now; what it measures has a date, too, since the cluster's own times are dates."""

    def __init__(self) -> None:
        self.began = perf_counter()
        self.began_at = time.time()

    def now(self) -> float:
        """The present moment, on the clock of ``perf_counter``."""
        return perf_counter()

    def sample(self, ended: float, progress: dict[str, Any], before: str = "request") -> Sample:
        """From the beginning to ``ended``, split by the stages that the cluster tells of."""
        seconds = ended - self.began
        return Sample(seconds, durations(self.began_at, self.began_at + seconds, moments(progress), before))


@dataclass(frozen=True, slots=True)
class BenchCluster:
    """What the measurements are made with."""

    cluster: Cluster
    client: RESTfulClient
    subject: Subject

    def launch(self, uid: str, **more: Any) -> None:
        """Launch the model; it is ready afterwards. ``LaunchFailed`` if it does not come up, or takes too long."""
        self.client.launch_model(**{**self.subject.launch(uid), **more}, wait_ready=False)
        self.wait_until_ready(uid)

    def wait_until_ready(self, uid: str) -> None:
        """The same for a model whose launch is under way."""
        deadline = time.monotonic() + _LAUNCH_S
        while (report := self.progress(uid))["stage"] != "ready":
            if report["stage"] in _GIVEN_UP or time.monotonic() > deadline:
                why = report["error"] or f"It is {report['stage']} after {_LAUNCH_S:g} s."
                raise LaunchFailed(f"The model did not come up. {why}")
            time.sleep(_POLL_PERIOD_S)

    def ask(self, uid: str) -> float:
        """When the first token of an answer came, on the clock of ``perf_counter``."""
        return first_token(*self.subject.question(self.cluster.endpoint, uid), _ANSWER_S)

    def progress(self, uid: str) -> dict[str, Any]:
        return self.client.get_launch_model_progress(uid)

    def instance(self, uid: str) -> dict[str, Any]:
        """The model in any state, with its replicas."""
        return self.client.get_instance_info(model_uid=uid)[0]

    def wait_for_host(self) -> None:
        """Until the warm host is ready to fork."""
        host.wait_until_ready(self.cluster.home)

    def footprint(self, uid: str) -> Footprint:
        """What the model holds on this machine."""
        return Footprint.of_model(self.client, self.cluster.id, uid)

    def clear(self) -> None:
        for instance in self.client.get_instance_info():
            with suppress(ModelNotFound):
                self.client.terminate_model(instance["model_uid"])
