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
_SOME_CPU = 0.001
# Bytes. Ray has a node at random place an actor that needs nothing, and each node goes round by itself: three replicas on three
# nodes were apart in one of eight launches. One that needs something is placed by the node of Serve's controller.
_SOME_MEMORY = 1
_NODE_ID = "ray.io/node-id"


def build(spec: ModelSpec, settings: EngineSettings) -> Application:
    """The application whose replicas are the workers of ``spec``.

    A replica takes ``spec.gpus`` GPUs from Ray, on each of its nodes. Its constructor is tried once per replica:
    whether a failed start is tried again is the registry's decision. Deployed again with
    another number of replicas, it leaves those that run alone: Serve replaces replicas of
    another version only, and the version is the launch.
    """
    configure = serve.deployment(
        name="worker",
        num_replicas=spec.replicas,
        **_placement(spec),
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


def _placement(spec: ModelSpec) -> dict[str, Any]:
    """What Ray looks for in a node, or in as many as the replica spans."""
    # Serve takes 2 and 2.0 for two versions, and a stored launch comes back with 2.0.
    gpus = float(spec.gpus)
    if spec.workers == 1:
        needs = {} if gpus else {"memory": _SOME_MEMORY}
        return {"ray_actor_options": {"num_cpus": 0, "num_gpus": gpus, **needs, **_where(spec)}}

    # A bundle has to ask for something.
    bundle = {"GPU": gpus} if gpus else {"CPU": _SOME_CPU}
    options: dict[str, Any] = {
        "ray_actor_options": {"num_cpus": 0, "num_gpus": gpus},
        "placement_group_bundles": [bundle] * spec.workers,
        # All bundles are reserved or none, each on a node of its own.
        "placement_group_strategy": "STRICT_SPREAD",
    }
    if spec.node_labels:
        options["placement_group_bundle_label_selector"] = [dict(spec.node_labels)] * spec.workers
    return options


def _where(spec: ModelSpec) -> dict[str, Any]:
    """What Ray looks for in the node of a replica, besides GPUs."""
    options: dict[str, Any] = {}
    wanted = [{_NODE_ID: f"in({','.join(group)})", **spec.node_labels} for group in spec.node_groups]
    if wanted or spec.node_labels:
        selectors = [*wanted, dict(spec.node_labels)]
        options["label_selector"] = selectors[0]
        if len(selectors) > 1:
            options["fallback_strategy"] = [{"label_selector": each} for each in selectors[1:]]
    if spec.node:
        # Ray gives every node a resource named after its address, also one that comes back.
        options["resources"] = {f"node:{spec.node}": 0.001}
    return options
