"""Brings up xinfer's parts on a Ray node that has just started: ``python -m supervisor.boot``, with the options as JSON.

Prints one JSON object per step; the command line shows them.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import ray
from ray import serve
from ray.serve.config import HTTPOptions

from supervisor.app import build
from supervisor.registry.process import Registry
from xinfer.cluster.options import BootOptions
from xinfer.names import NAMESPACE, REGISTRY, SUPERVISOR_APP
from xinfer.settings import EngineSettings, GatewaySettings

_ON_HEAD = {"node:__internal_head__": 0.001}
_REGISTRY_CALLS = 10_000


def boot(options: BootOptions) -> None:
    """Serve with its HAProxy, the registry, the supervisors; returns when they are up.

    The registry comes after Serve because it brings up at once what ran before.
    """
    _say("connecting to Ray")
    ray.init(address=options.ray_address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.WARNING)
    _say("starting Ray Serve and HAProxy")
    # A proxy of another node reaches no supervisor that listens on the loopback interface of this one.
    proxies = "HeadOnly" if options.on_head else "EveryNode"
    serve.start(proxy_location=proxies, http_options=HTTPOptions(host=options.host, port=options.port))
    _say("starting the registry")
    _start_registry()
    _say("starting the supervisor")
    near = _ON_HEAD if options.on_head else {}
    settings = GatewaySettings.from_environment(
        supervisors=options.supervisors, routing=options.routing, cors_origins=options.cors_origins
    )
    app = build(settings, resources=near, allow_fake=options.allow_fake)
    serve.run(app, name=SUPERVISOR_APP, route_prefix="/")


def _start_registry() -> None:
    """Detached, restarted by Ray whenever it dies, on the head because its file is there."""
    actor_class: Any = ray.remote(Registry)
    registry = actor_class.options(
        name=REGISTRY,
        lifetime="detached",
        get_if_exists=True,
        max_restarts=-1,
        max_concurrency=_REGISTRY_CALLS,
        num_cpus=0,
        resources=_ON_HEAD,
    )
    ray.get(registry.remote(EngineSettings.from_environment()).watch.remote(0, 0.0))


def _say(step: str) -> None:
    print(json.dumps({"step": step}), flush=True)


if __name__ == "__main__":
    boot(BootOptions.parse(sys.argv[1]))
