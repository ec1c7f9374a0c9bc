"""Launches to their first token, and the end of a model."""

from __future__ import annotations

import time

from xinfer.bench.launching import gpu
from xinfer.bench.launching.bench_cluster import BenchCluster, Clock
from xinfer.bench.launching.footprint import Footprint
from xinfer.bench.launching.sample import Sample
from xinfer.errors import LaunchFailed

GONE_S = 60.0
_IDLE_TIMEOUT_S = 2.0
_ASLEEP_S = 60.0
_POLL_PERIOD_S = 0.1


def cold(lab: BenchCluster) -> Sample:
    """A launch on a cluster that has just been started, however far its warm host is."""
    return _launched(lab, "cold")


def warm(lab: BenchCluster) -> Sample:
    """A launch with the warm host ready."""
    lab.wait_for_host()
    return _launched(lab, "warm")


def plain(lab: BenchCluster) -> Sample:
    """A launch on a cluster that has no warm host: what each launch falls back to."""
    return _launched(lab, "plain")


def second_replica(lab: BenchCluster) -> Sample:
    """One more replica of a model that runs, until it is ready."""
    lab.wait_for_host()
    lab.launch("twice")
    lab.wait_for_host()
    clock = Clock()
    lab.client.add_model_replica("twice", replica=1)
    ended = clock.now()
    instance = lab.instance("twice")
    if [replica["status"] for replica in instance["replica_statuses"]] != ["READY", "READY"]:
        raise LaunchFailed("Two replicas are not ready although the second one is said to be there.")
    return clock.sample(ended, lab.progress("twice"))


def wake(lab: BenchCluster) -> Sample:
    """One request to a model that sleeps, to its first token."""
    lab.launch("sleeper", idle_timeout=_IDLE_TIMEOUT_S)
    processes = lab.footprint("sleeper").processes
    _wait_until_asleep(lab)
    # It is told to sleep before it does.
    Footprint(processes).wait_until_gone(GONE_S)
    lab.wait_for_host()
    clock = Clock()
    return clock.sample(lab.ask("sleeper"), lab.progress("sleeper"))


def terminate(lab: BenchCluster) -> Sample:
    """From the request until nothing is left of the model."""
    before_mib = gpu.used_mib()
    lab.launch("brief")
    lab.ask("brief")
    footprint = lab.footprint("brief")
    clock = Clock()
    lab.client.terminate_model("brief")
    answered = clock.now()
    footprint.wait_until_gone(GONE_S, before_mib)
    ended = clock.now()
    return Sample(ended - clock.began, {"answered": answered - clock.began, "until gone": ended - answered})


def _launched(lab: BenchCluster, uid: str) -> Sample:
    """From the request to the first token."""
    clock = Clock()
    lab.launch(uid)
    return clock.sample(lab.ask(uid), lab.progress(uid))


def _wait_until_asleep(lab: BenchCluster) -> None:
    deadline = time.monotonic() + _ASLEEP_S
    while (status := lab.instance("sleeper")["status"]) != "SLEEPING":
        if time.monotonic() > deadline:
            raise LaunchFailed(f"Idle for {_ASLEEP_S:g} s, and it does not sleep ({status}).")
        time.sleep(_POLL_PERIOD_S)
