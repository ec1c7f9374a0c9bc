"""A launch that the registry reads back after a restart is the launch that runs: Serve leaves its replicas alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ray.serve._private.config import DeploymentConfig
from ray.serve._private.version import DeploymentVersion

from supervisor.registry.store import Store
from tests.supervisor.samples import spec
from worker.app import build
from xinfer.messages import ModelSpec
from xinfer.settings import EngineSettings


def version(model: ModelSpec) -> DeploymentVersion:
    """What Serve compares in order to tell whether replicas have to be replaced."""
    deployment: Any = build(model, EngineSettings())._bound_deployment
    config: DeploymentConfig = deployment._deployment_config
    return DeploymentVersion(deployment.version, config, deployment.ray_actor_options)


@pytest.mark.parametrize("gpus", [0, 2, 0.5])
def test_same_version_for_serve(tmp_path: Path, gpus: float) -> None:
    """Whole numbers too, which JSON may write as 2 or 2.0."""
    launched = spec(gpus=gpus, created_at=1795863646.3164012)
    store = Store(tmp_path / "registry.sqlite")
    store.save(launched)
    (kept,) = store.load()
    scaled = replace(kept.spec, replicas=3)
    assert not version(launched).requires_actor_restart(version(scaled))
    later = replace(launched, created_at=launched.created_at + 1)
    assert version(launched).requires_actor_restart(version(later))
