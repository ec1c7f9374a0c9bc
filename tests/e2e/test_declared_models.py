"""A file of declared models on a real cluster: brought up, left alone, changed, scaled, and pruned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, RunningCluster
from xinfer.client import RESTfulClient
from xinfer.errors import ModelNotFound

# Every change of a file on a real cluster; tests/declared has them on a double.
pytestmark = pytest.mark.heavy

MODEL = {
    "model_name": "fake",
    "model_engine": "fake",
    "model_path": str(ROOT / "xinfer/tiny_chat/model"),
    "n_gpu": "none",
}


@pytest.fixture
def clean(client: RESTfulClient) -> Any:
    yield
    for uid in ("one", "two", "by-hand"):
        try:
            client.terminate_model(uid)
        except ModelNotFound:
            continue


def apply(cluster: RunningCluster, file: Path, models: list[dict[str, Any]], *words: str) -> dict[str, str]:
    """What ``xinfer apply`` did to each model."""
    file.write_text(json.dumps({"models": [{**MODEL, **model} for model in models]}))
    facts = json.loads(cluster.run("apply", "-f", str(file), "--prune", "--json", *words).stdout)
    assert facts["failed"] == []
    return {step["model_uid"]: step["action"] for step in facts["done"]}


def replicas(client: RESTfulClient, uid: str) -> list[str]:
    (instance,) = client.get_instance_info(None, uid)
    assert instance["status"] == "READY"
    return sorted(each["replica_uid"] for each in instance["replica_statuses"])


def test_life_of_a_file(cluster: RunningCluster, client: RESTfulClient, tmp_path: Path, clean: None) -> None:
    file = tmp_path / "models.json"
    client.launch_model(**{**MODEL, "n_gpu": None}, model_uid="by-hand")
    one = {"model_uid": "one", "engine_args": {"tokens": 3}, "envs": {"TOKEN": "secret"}}
    assert apply(cluster, file, [one, {"model_uid": "two"}]) == {"one": "launch", "two": "launch"}
    first, second = replicas(client, "one"), replicas(client, "two")
    (shown,) = client.get_instance_info(None, "one")
    assert "secret" not in json.dumps(shown)

    assert apply(cluster, file, [one, {"model_uid": "two"}]) == {"one": "keep", "two": "keep"}
    scaled = {**one, "replica": 2}
    assert apply(cluster, file, [scaled, {"model_uid": "two", "request_limits": 3}]) == {
        "one": "scale",
        "two": "relaunch",
    }
    assert set(first) < set(replicas(client, "one"))
    assert replicas(client, "two") != second

    assert apply(cluster, file, [{**scaled, "replica": 1}]) == {"one": "scale", "two": "terminate"}
    assert len(replicas(client, "one")) == 1
    uids = {each["model_uid"] for each in client.get_instance_info()}
    assert {"one", "by-hand"} <= uids
    assert "two" not in uids
