"""What everybody gets to see of a launch that was cancelled or has failed, and that nothing of it is left."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.conftest import RunningCluster
from tests.e2e.traces import Traces, nothing_left
from xinfer.client import RESTfulClient
from xinfer.errors import ModelNotFound

CANCEL_S = 10.0


def stages_of(report: dict[str, Any]) -> list[str]:
    return [each["stage"] for each in report["stages"]]


def cancelled_cleanly(cluster: RunningCluster, client: RESTfulClient, uid: str, before: Traces) -> dict[str, Any]:
    """Cancel it, check what everybody gets to see then, and return the last report."""
    had, began = Traces.of_model(uid), time.monotonic()
    client.cancel_launch_model(uid)
    assert time.monotonic() - began < CANCEL_S
    report = client.get_launch_model_progress(uid)
    assert (report["stage"], report["error"]) == ("cancelled", None)
    assert stages_of(report)[0] == "pending"
    assert stages_of(report)[-1] == "cancelled"
    assert [each["stage"] for each in report["replicas"]] == ["cancelled"]
    assert client.get_instance_info(None, uid) == []
    with pytest.raises(ModelNotFound):
        client.describe_model(uid)
    nothing_left(cluster, client, uid, before, had)
    return report


def failed_cleanly(
    cluster: RunningCluster, client: RESTfulClient, uid: str, before: Traces, reason: str
) -> dict[str, Any]:
    """Check what everybody gets to see of a failed launch, and return the last report."""
    report = client.get_launch_model_progress(uid)
    assert report["stage"] == "failed"
    assert reason in report["error"]
    assert "\n" not in report["error"]
    assert (stages_of(report)[0], stages_of(report)[-1]) == ("pending", "failed")
    assert [each["stage"] for each in report["replicas"]] == ["failed"]
    (instance,) = client.get_instance_info(None, uid)
    assert (instance["status"], reason in instance["replica_statuses"][0]["error_message"]) == ("ERROR", True)
    with pytest.raises(ModelNotFound, match=reason or None):
        client.describe_model(uid)
    nothing_left(cluster, client, uid, before)
    return report
