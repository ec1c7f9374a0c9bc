"""Models as Serve applications: deployed and deleted in threads, since Serve's own calls block."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import ray
from ray import serve
from ray._common.utils import import_attr
from ray.serve.schema import ApplicationStatus

from xinfer.errors import LaunchRefused
from xinfer.messages import ModelSpec
from xinfer.names import WORKER_APP, model_app
from xinfer.settings import EngineSettings

_MAX_LAUNCHES = 256
P = ParamSpec("P")
T = TypeVar("T")


class Deployer:
    """Carries out on Serve and Ray what the registry has decided."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(_MAX_LAUNCHES, thread_name_prefix="deploy")

    async def deploy(self, spec: ModelSpec) -> None:
        """Create the application and wait until Serve calls it running; ``RuntimeError`` if it does not come up."""
        await self._in_thread(self._run, spec)

    async def delete(self, uid: str) -> None:
        """Delete the application and wait until its replicas are gone; unknown is fine."""
        await self._in_thread(serve.delete, model_app(uid))

    async def running(self) -> set[str]:
        """Names of the applications that Serve has and that have not failed."""
        status = await self._in_thread(serve.status)
        dead = (ApplicationStatus.DEPLOY_FAILED, ApplicationStatus.DELETING)
        return {name for name, app in status.applications.items() if app.status not in dead}

    def check_room(self, spec: ModelSpec, gpus_wanted: float) -> None:
        """``LaunchRefused`` if the cluster has not the GPUs for ``spec`` beside the ``gpus_wanted`` of other models."""
        if spec.gpus <= 0:
            return
        nodes = [node["Resources"].get("GPU", 0.0) for node in ray.nodes() if node["Alive"]]
        total, largest = sum(nodes), max(nodes, default=0.0)
        asked = spec.gpus * spec.replicas
        if spec.gpus > largest or asked > total - gpus_wanted + 1e-6:
            raise LaunchRefused(
                f"{asked:g} GPUs are asked for ({spec.replicas} replicas of {spec.gpus:g}); the cluster has {total:g}, "
                f"{max(0.0, total - gpus_wanted):g} of them free, at most {largest:g} on one node. "
                "Ask for fewer with --n-gpu or --replica, terminate another model, or add a node.",
                param="n_gpu",
            )

    def _run(self, spec: ModelSpec) -> None:
        build = import_attr(WORKER_APP)
        serve.run(build(spec, self._settings), name=model_app(spec.uid), route_prefix=None)

    async def _in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        bound = functools.partial(call, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, bound)
