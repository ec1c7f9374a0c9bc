"""What Ray is asked for when a replica spans nodes."""

from __future__ import annotations

from typing import Any

from worker.app import build
from xinfer.messages import ModelSpec
from xinfer.settings import EngineSettings


def config(**facts: Any) -> Any:
    """Serve's, which has checked it."""
    application: Any = build(ModelSpec("m", "f", "p", **facts), EngineSettings())
    return application._bound_deployment._replica_config


def test_one_bundle_on_each_of_its_nodes() -> None:
    asked = config(workers=2, gpus=4, node_labels={"gpu": "A100"})
    assert asked.placement_group_bundles == [{"GPU": 4.0}] * 2
    assert asked.placement_group_strategy == "STRICT_SPREAD"
    assert asked.placement_group_bundle_label_selector == [{"gpu": "A100"}] * 2
    assert asked.ray_actor_options["num_gpus"] == 4.0


def test_without_gpus_a_bundle_asks_for_something_all_the_same() -> None:
    first, second = config(workers=2).placement_group_bundles
    assert first == second
    assert 0 < first["CPU"] < 0.01


def test_on_one_node_there_is_no_placement_group() -> None:
    asked = config(gpus=2, node_labels={"gpu": "A100"})
    assert asked.placement_group_bundles is None
    assert asked.ray_actor_options["label_selector"] == {"gpu": "A100"}
