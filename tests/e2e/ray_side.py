"""What only a process inside the cluster can do or see: ``python -m tests.e2e.ray_side ADDRESS COMMAND``.

``hold N`` takes N GPUs from Ray, says so, and gives them back when its stdin ends. ``actors`` prints the names of all that live,
``free`` how many GPUs are. ``scale UID N`` has the registry change the number of a model's replicas.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import ray

from supervisor.nodes.ray_addresses import keep_loopback


def hold(gpus: float) -> None:
    """Take the GPUs with a plain actor, which is nothing that xinfer knows of."""

    class Holder:
        def ready(self) -> None:
            """It has them."""

    actor_class: Any = ray.remote(Holder)
    holder = actor_class.options(num_gpus=gpus, num_cpus=0).remote()
    ray.get(holder.ready.remote())
    print("held", flush=True)
    sys.stdin.read()
    ray.kill(holder)


def actors() -> None:
    """Print the names of all actors of all namespaces, as JSON."""
    named = ray.util.list_named_actors(all_namespaces=True)
    print(json.dumps([actor["name"] for actor in named]), flush=True)


def free() -> None:
    """Print how many GPUs nobody has reserved, as JSON."""
    print(json.dumps({"GPU": ray.available_resources().get("GPU", 0.0)}), flush=True)


def scale(uid: str, replicas: int) -> None:
    """Call the registry as a supervisor does."""
    registry = ray.get_actor("xinfer-registry", namespace="xinfer")
    ray.get(registry.call.remote("scale", uid, replicas))


if __name__ == "__main__":
    address, what, *rest = sys.argv[1:]
    keep_loopback()
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    match what, rest:
        case "hold", [gpus]:
            hold(float(gpus))
        case "actors", []:
            actors()
        case "free", []:
            free()
        case "scale", [uid, replicas]:
            scale(uid, int(replicas))
        case _:
            sys.exit(f"not a command of this module: {sys.argv[2:]}")
