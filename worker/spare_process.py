"""The idle process that Ray has on a node for its next replica, so that it need not be started then."""

from __future__ import annotations

import asyncio
import logging
import os

import psutil
import ray

from xinfer.cluster import prestart
from xinfer.names import NAMESPACE, REGISTRY

_log = logging.getLogger("xinfer.worker")


async def prestart_next() -> None:
    """Have a Ray process prestarted on this node: the actor that calls this has taken the idle one."""
    wanted = prestart.wanted()
    if not wanted or await asyncio.to_thread(_has_idle_worker):
        return

    node_id = ray.get_runtime_context().get_node_id()
    try:
        registry = ray.get_actor(REGISTRY, namespace=NAMESPACE)
        await registry.prestart_worker.remote(node_id)
    except (ValueError, ray.exceptions.RayError) as error:
        # The next replica waits about a second longer; no reason to fail this one.
        _log.warning("no Ray process was prestarted: %s", type(error).__name__)


def _has_idle_worker() -> bool:
    """True if this node's raylet has an idle process; to be called in a process of Ray's."""
    raylet = psutil.Process(os.getppid())
    others = [process for process in raylet.children() if process.pid != os.getpid()]
    return any(map(_is_idle, others))


def _is_idle(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    # A Ray process shows the first name once it is up, and the second one before.
    return any(word.strip().endswith(("ray::IDLE", "default_worker.py")) for word in words)
