"""Brings up xinfer's parts on a Ray node that has just started: ``python -m supervisor.boot``, with the options as JSON.

Begins when it is sent a line. Prints one JSON object per step; the command line shows them.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import ray
from ray import serve
from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE
from ray.serve.config import HTTPOptions
from ray.serve.schema import ApplicationStatus

from supervisor import given_keys
from supervisor.app import build, build_on_each_node
from supervisor.nodes.on_node import open_nodes
from supervisor.nodes.ray_addresses import keep_loopback
from supervisor.registry.ray_actor import Registry
from xinfer.api_key import digest, new_id, new_key
from xinfer.cluster.options import BootOptions
from xinfer.messages import ApiKey, KeyScope
from xinfer.names import NAMESPACE, REGISTRY, SUPERVISOR_APP
from xinfer.settings import EngineSettings, GatewaySettings

_ON_HEAD = {"node:__internal_head__": 0.001}
_REGISTRY_CALLS = 10_000
_POLL_PERIOD_S = 0.1
_LOOK_PERIOD_S = 0.02


def boot(options: BootOptions) -> None:
    """Serve with its HAProxy, the registry, the supervisors; returns when they are up.

    ``RuntimeError`` if Serve gives the supervisors up. What needs nothing of the others starts beside them: on a small machine,
    most of the time goes into the imports of processes.
    """
    _say("connecting to Ray")
    keep_loopback()
    ray.init(address=options.ray_address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.WARNING)
    _say("starting Ray Serve, HAProxy and the registry")
    registry = _start_registry(options)
    proxies = "EveryNode" if options.on_each_node else "HeadOnly"
    http = HTTPOptions(host=options.host, port=options.port)
    starting = ThreadPoolExecutor(1).submit(serve.start, proxy_location=proxies, http_options=http)
    _wait_for_controller(starting)
    _say("starting the supervisor")
    settings = GatewaySettings.from_environment(
        supervisors=options.supervisors, routing=options.routing, cors_origins=options.cors_origins
    )
    if options.on_each_node:
        # A head that takes a cluster over finds the nodes there.
        nodes = len(open_nodes())
        app = build_on_each_node(settings, nodes, allow_fake=options.allow_fake, access=options.access)
    else:
        app = build(settings, resources=_ON_HEAD, allow_fake=options.allow_fake, access=options.access)
    target = serve.RunTarget(app, name=SUPERVISOR_APP, route_prefix="/", external_scaler_enabled=options.on_each_node)
    # Serve itself would look once a second.
    serve.run_many([target], wait_for_ingress_deployment_creation=False, wait_for_applications_running=False)
    starting.result()
    _wait_for_first_table(registry)
    if options.given_keys is not None:
        given_keys.take(registry, options.given_keys)
    if options.access is not None:
        _make_first_key(registry)
    _wait_until_running()


def _wait_for_controller(starting: Future[None]) -> None:
    """Serve takes an application as soon as its controller is there, while its proxies start; raises what its start raises."""
    while not starting.done():
        try:
            ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)
        except ValueError:
            time.sleep(_LOOK_PERIOD_S)
        else:
            return
    starting.result()


def _start_registry(options: BootOptions) -> Any:
    """Detached, restarted by Ray whenever it dies, on the head because its file is there."""
    actor_class: Any = ray.remote(Registry)
    per_node = options.supervisors if options.on_each_node else None
    return actor_class.options(
        name=REGISTRY,
        lifetime="detached",
        get_if_exists=True,
        max_restarts=-1,
        max_concurrency=_REGISTRY_CALLS,
        num_cpus=0,
        resources=_ON_HEAD,
    ).remote(EngineSettings.from_environment(), per_node)


def _wait_for_first_table(registry: Any) -> None:
    while True:
        try:
            ray.get(registry.call.remote("watch", 0, 0.0))
            return
        except ray.exceptions.ActorUnavailableError:
            # The one of a head that was lost, which Ray is starting again.
            time.sleep(_POLL_PERIOD_S)


def _make_first_key(registry: Any) -> None:
    """An admin's key, unless somebody has one. Its text goes to whoever starts the node, who shows it once."""
    if not ray.get(registry.call.remote("needs_admin_key")):
        return
    key_id = new_id()
    text = new_key(key_id)
    name = f"admin-{key_id}"
    key = ApiKey(key_id, name, KeyScope.ADMIN, digest(text), created_at=time.time())
    ray.get(registry.call.remote("add_key", key))
    print(json.dumps({"admin_key": text}), flush=True)


def _wait_until_running() -> None:
    while (found := serve.status().applications[SUPERVISOR_APP]).status is not ApplicationStatus.RUNNING:
        if found.status is ApplicationStatus.DEPLOY_FAILED:
            raise RuntimeError(f"Serve has given up on the supervisor: {found.message}")
        time.sleep(_POLL_PERIOD_S)


def _say(step: str) -> None:
    print(json.dumps({"step": step}), flush=True)


if __name__ == "__main__":
    # This process starts beside Ray, so that its imports are done when Ray is up, and is told then.
    if sys.stdin.readline():
        boot(BootOptions.parse(sys.argv[1]))
        # All that it has started is detached, and Ray's own way out takes half a second.
        os._exit(0)
