"""The registry in its process: the arguments of a Ray actor travel as a pickle, so the real parts are made here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import ray

from supervisor.registry import actor
from supervisor.registry.access import Access
from supervisor.registry.access_actor import AccessActor
from supervisor.registry.autoscaling.prewarmer import Prewarmer
from supervisor.registry.deployer import Deployer
from supervisor.registry.idle_nodes import autoscaler_runs
from supervisor.registry.node_agents import NodeAgents
from supervisor.registry.node_supervisors import NodeSupervisors
from supervisor.registry.store import Store
from xinfer import registry_file
from xinfer.access_settings import usage_days
from xinfer.logs import log_level
from xinfer.messages import ModelTable
from xinfer.settings import EngineSettings, home
from xinfer.traces import traces_target

if TYPE_CHECKING:
    from supervisor.registry.launch_traces import LaunchTraces


class RegistryProcess(AccessActor, actor.Registry):
    """The registry on Ray Serve, with its SQLite files under ``XINFER_HOME``."""

    def __init__(self, settings: EngineSettings, supervisors_per_node: int | None = None) -> None:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
        logging.getLogger("xinfer").setLevel(log_level())
        self.access = Access(home(), usage_days())
        super().__init__(
            settings,
            Deployer(settings),
            Store(registry_file.file_in(home())),
            restarted=ray.get_runtime_context().was_current_actor_reconstructed,
            agents=NodeAgents(autoscaled=autoscaler_runs()),
            traces=_launch_traces(),
            prewarmer=Prewarmer(settings),
        )
        if supervisors_per_node is not None:
            self._background.spawn(NodeSupervisors(supervisors_per_node).tend())


def _launch_traces() -> Callable[[ModelTable], LaunchTraces] | None:
    target = traces_target()
    if target is None:
        return None
    # OpenTelemetry is loaded only where it is used.
    from supervisor.registry.launch_traces import LaunchTraces

    return partial(LaunchTraces, target)
