"""The registry as Ray starts it: its constructor's arguments travel as a pickle, so the real parts are made here."""

from __future__ import annotations

import logging

import ray

from supervisor.registry import actor
from supervisor.registry.access import Access
from supervisor.registry.access_actor import AccessActor
from supervisor.registry.deployer import Deployer
from supervisor.registry.node_agents import NodeAgents
from supervisor.registry.store import Store
from xinfer import registry_file
from xinfer.access_settings import usage_days
from xinfer.cluster import prestart
from xinfer.logs import log_level
from xinfer.settings import EngineSettings, home


# Ray names the process after the class.
class Registry(AccessActor, actor.Registry):
    """The registry on Ray Serve, with its SQLite files under ``XINFER_HOME``."""

    def __init__(self, settings: EngineSettings) -> None:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
        logging.getLogger("xinfer").setLevel(log_level())
        self.access = Access(home(), usage_days())
        super().__init__(
            settings,
            Deployer(settings),
            Store(registry_file.file_in(home())),
            restarted=ray.get_runtime_context().was_current_actor_reconstructed,
            agents=NodeAgents(spare_workers=prestart.wanted()),
        )
