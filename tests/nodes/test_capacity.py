"""Nodes that come when a model waits for them and go when nothing needs them: Ray's autoscaler with its fake nodes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, RunningCluster
from tests.waiting import wait_for
from xinfer.client import RESTfulClient
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.lifecycle import NodeLifecycle
from xinfer.cluster.options import StartOptions
from xinfer.cluster.ports import free_port
from xinfer.cluster.processes import of_cluster
from xinfer.errors import LaunchRefused

# A cluster of its own and a minute and a half, half of which are idle timeouts.
pytestmark = pytest.mark.heavy

IDLE_S = 5
HEAD = {
    "RAY_enable_autoscaler_v2": "1",
    "RAY_CLOUD_INSTANCE_ID": "f" * 51 + "00000",
    "RAY_NODE_TYPE_NAME": "ray.head.default",
}
"""The fake provider's head."""


def config(ray_address: str) -> dict[str, Any]:
    """As in the files of `ray up`, of which the fake provider reads less."""
    commands = ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands")
    starts = ("head_start_ray_commands", "worker_start_ray_commands")
    files = ("cluster_synced_files", "rsync_exclude", "rsync_filter")
    nothing: dict[str, Any] = {name: [] for name in (*commands, *starts, *files)}
    return {
        **nothing,
        "auth": {},
        "file_mounts": {},
        "cluster_name": "fake",
        "max_workers": 3,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": IDLE_S / 60,
        "provider": {
            # By its own name Ray looks for a file that its wheel lacks.
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "launch_multiple": True,
            "gcs_address": ray_address,
        },
        "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 0},
            "small": {
                "resources": {"CPU": 1, "GPU": 1},
                "labels": {"kind": "small"},
                "node_config": {},
                "min_workers": 0,
                "max_workers": 2,
            },
            "large": {
                "resources": {"CPU": 1, "GPU": 4},
                "labels": {"kind": "large"},
                "node_config": {},
                "min_workers": 0,
                "max_workers": 1,
            },
        },
    }


@pytest.fixture
def autoscaled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningCluster]:
    """A head with what `ray up` exports for it, and the autoscaler beside it, as in deploy/ray-up."""
    for name, value in HEAD.items():
        monkeypatch.setenv(name, value)
    home = Path(tempfile.mkdtemp(prefix="xi-", dir="/tmp"))
    lifecycle = NodeLifecycle(home)
    ports = {"port": free_port("127.0.0.1"), "ray_port": free_port("127.0.0.1")}
    options = StartOptions(**ports, num_gpus=0, warm_host=False, allow_fake_engine=True)
    for _ in lifecycle.start(options):
        pass
    record = ClusterRecord.load(home)
    assert record
    file = tmp_path / "autoscaler.yaml"
    file.write_text(json.dumps(config(record.ray_address)))
    (raylet,) = (process for process in of_cluster(record.id) if process.name() == "raylet")
    env = {**raylet.environ(), "RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    words = ["--gcs-address", record.ray_address, "--logs-dir", str(tmp_path), "--autoscaling-config", str(file)]
    with (tmp_path / "output").open("wb") as output:
        monitor = subprocess.Popen(
            [sys.executable, "-m", "ray.autoscaler.v2.monitor", *words], env=env, stdout=output, stderr=output
        )
    try:
        yield RunningCluster(options.endpoint, home, lifecycle)
    finally:
        # The autoscaler and its nodes have the cluster's mark, too.
        lifecycle.stop()
        monitor.wait(10)
        shutil.rmtree(home, ignore_errors=True)


def kinds(client: RESTfulClient) -> list[str]:
    """The kind of each node that has come."""
    return sorted(node["labels"]["kind"] for node in client.list_nodes() if "kind" in node["labels"])


def test_nodes_come_for_launches_that_wait_and_go_with_their_models(
    autoscaled: RunningCluster, figures: list[str]
) -> None:
    fake = {"model_engine": "fake", "model_path": str(ROOT / "xinfer/tiny_chat/model"), "wait_for_capacity": True}
    with RESTfulClient(autoscaled.endpoint) as client:
        with pytest.raises(LaunchRefused, match="--wait-for-capacity"):
            client.launch_model("fake", n_gpu=3, **{**fake, "wait_for_capacity": False})
        began = time.monotonic()
        client.launch_model("fake", model_uid="one", n_gpu=3, node_labels={"kind": "large"}, wait_ready=False, **fake)
        (instance,) = client.get_instance_info(None, "one")
        assert instance["state"] == "PENDING"
        assert "waiting for 3 GPUs on one node (kind=large)" in instance["reason"]
        wait_for(lambda: client.get_launch_model_progress("one")["stage"] == "ready", 60, "a node for the launch")
        figures.append(f"an engine on a fake node of Ray's: {time.monotonic() - began:.1f} s after its launch")

        client.launch_model("fake", model_uid="two", replica=2, n_gpu=1, node_labels={"kind": "small"}, **fake)
        assert kinds(client) == ["large", "small", "small"]
        client.terminate_model("one")
        client.terminate_model("two")
        began = time.monotonic()
        wait_for(lambda: kinds(client) == [], 120, "the end of nodes that are not needed")
        figures.append(
            f"nodes without a replica are gone after {time.monotonic() - began:.1f} s (idle timeout {IDLE_S} s)"
        )
