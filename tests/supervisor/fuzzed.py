"""A supervisor in a thread, for tests that are not coroutines: its registry refuses changes, its cluster is this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from supervisor.app import Supervisor
from supervisor.nodes import on_node as nodes
from supervisor.nodes.agent import NodeAgent
from supervisor.nodes.benchmarks import Benchmarks
from tests.supervisor.samples import model_status, times
from tests.supervisor.servers import RegistryDouble, fake_engine, serving
from xinfer.errors import Conflict
from xinfer.messages import Event, EventType, ModelState
from xinfer.settings import GatewaySettings

NODE = {
    "NodeID": "0" * 56,
    "Alive": True,
    "NodeManagerAddress": "127.0.0.1",
    "Resources": {"CPU": 2.0, "GPU": 1.0, "memory": 1024.0**3},
    "Labels": {},
}


class Refusing(RegistryDouble):
    """Changes nothing, so that nobody waits for a change that does not come."""

    async def _call(self, method: str, *args: Any) -> Any:
        """As the registry would, if it always had a reason to refuse."""
        if method in ("watch", "exchange_metrics", "logs", "model_lives", "suspect"):
            return await super()._call(method, *args)
        if method == "events":
            return [Event(EventType.INFO, 1.0, "Ready: it answers.")] if args[0] == "m" else []
        raise Conflict(f"{method} is refused here.")


@contextmanager
def supervisor_in_a_thread() -> Iterator[str]:
    """The URL of one with a model ``m`` that a fake engine serves, one that failed, and one that is on its way up."""
    with pytest.MonkeyPatch.context() as patch:
        _cluster_is_this_process(patch)
        ready, leave = threading.Event(), asyncio.Event()
        found: dict[str, Any] = {}

        async def live() -> None:
            registry = Refusing()
            registry.answers = {"exchange_metrics": {}, "logs": []}
            app = Supervisor(GatewaySettings(), registry)
            async with fake_engine(tokens=2) as replica, serving(app, lifespan="on") as url:
                found.update(url=url, loop=asyncio.get_running_loop())
                await registry.tell(
                    model_status(replica, abilities=("chat", "generate")),
                    model_status(
                        uid="failed", state=ModelState.FAILED, reason="out of memory", times=times(pending=1.0)
                    ),
                    model_status(uid="young", state=ModelState.LAUNCHING, times=times(pending=1.0)),
                )
                ready.set()
                await leave.wait()

        thread = threading.Thread(target=asyncio.run, args=(live(),))
        thread.start()
        assert ready.wait(20), "the supervisor did not start"
        try:
            yield found["url"]
        finally:
            found["loop"].call_soon_threadsafe(leave.set)
            thread.join(20)


def _cluster_is_this_process(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ray, "nodes", lambda: [NODE])
    patch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(gcs_address="127.0.0.1:6379"))
    patch.setattr(ray, "available_resources", lambda: {"GPU": 1.0})

    patch.setattr(nodes, "draining_nodes", set)
    patch.setattr(nodes, "on_node", agent_here)


async def agent_here(_node: Any, method: str, *args: Any, timeout_s: float = 0.0) -> Any:  # on_node's
    """What the agent of this machine responds, without Ray."""
    agent = object.__new__(NodeAgent)
    agent._benchmarks = Benchmarks(Path("no runs here"))
    return await getattr(agent, method)(*args)
