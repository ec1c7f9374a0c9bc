"""The Serve application of one model: what ``xinfer.names.WORKER_APP`` names."""

from __future__ import annotations

from typing import Any

from ray import serve
from ray.serve import Application

from worker.replica import EngineReplica
from xinfer.messages import ModelSpec
from xinfer.settings import EngineSettings

# None comes through Serve; the engine's own server takes them.
_NO_REQUESTS = 1


def build(spec: ModelSpec, settings: EngineSettings) -> Application:
    """The application whose replicas are the workers of ``spec``.

    A replica takes ``spec.gpus`` GPUs from Ray. Its constructor is tried once per replica:
    whether a failed start is tried again is the registry's decision. Deployed again with
    another number of replicas, it leaves those that run alone: Serve replaces replicas of
    another version only, and the version is the launch.
    """
    # Serve takes 2 and 2.0 for two versions, and a stored launch comes back with 2.0.
    gpus = float(spec.gpus)
    configure = serve.deployment(
        name="worker",
        num_replicas=spec.replicas,
        ray_actor_options={"num_cpus": 0, "num_gpus": gpus, **_where(spec)},
        max_ongoing_requests=_NO_REQUESTS,
        max_constructor_retry_count=1,
        health_check_period_s=settings.health_period_s,
        health_check_timeout_s=settings.health_timeout_s,
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=settings.finish_timeout_s + settings.stop_grace_s + 5,
    )
    deployment = configure(EngineReplica).options(version=f"{spec.created_at}", _internal=True)
    application: Application = deployment.bind(spec, settings)
    return application


def _where(spec: ModelSpec) -> dict[str, Any]:
    """What Ray looks for in a node, besides GPUs."""
    options: dict[str, Any] = {}
    if spec.node_labels:
        options["label_selector"] = dict(spec.node_labels)
    if spec.node:
        # Ray gives every node a resource named after its address, also one that comes back.
        options["resources"] = {f"node:{spec.node}": 0.001}
    return options
