"""Models as Serve applications: Serve's own calls block and run in threads, and nothing here waits for an engine in one."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from ray import serve
from ray._common.utils import import_attr
from ray.serve.context import _get_global_client
from ray.serve.schema import ApplicationStatus

from supervisor.nodes.gpu_inventory import gpu_inventory
from supervisor.nodes.on_node import draining_addresses, open_nodes
from supervisor.registry.node_choice import Groups, choose_nodes
from supervisor.registry.pending_replicas import drop_pending_replicas
from supervisor.registry.room import lack_of_room
from xinfer.errors import LaunchRefused
from xinfer.messages import ModelSpec, ModelStatus, NodeReport
from xinfer.names import WORKER_APP, model_app
from xinfer.settings import EngineSettings

_THREADS = 32
_UP_POLL_S = 0.5
_GONE_POLL_S = 0.1
_GONE_S = 60.0
P = ParamSpec("P")
T = TypeVar("T")


class Deployer:
    """Carries out on Serve and Ray what the registry has decided."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="deploy")
        # So that the first launch does not have to.
        self._threads.submit(import_attr, WORKER_APP)

    async def deploy(self, spec: ModelSpec) -> None:
        """Have Serve create the application, or change its number of replicas; returns when Serve knows, not when it is up."""
        await self._in_thread(self._run, spec)

    async def comes_up(self, uid: str) -> bool:
        """Wait until Serve calls the application running (true) or has given it up, or lost it (false)."""
        while True:
            status = await self._in_thread(_status, uid)
            if status is not ApplicationStatus.DEPLOYING:
                return status in (ApplicationStatus.RUNNING, ApplicationStatus.UNHEALTHY)
            await asyncio.sleep(_UP_POLL_S)

    async def delete(self, uid: str) -> None:
        """Delete the application and wait until its replicas are gone; unknown is fine. ``TimeoutError`` after a minute."""
        began = time.monotonic()
        await self._in_thread(serve.delete, model_app(uid), _blocking=False)
        while await self._in_thread(_status, uid) is not ApplicationStatus.NOT_STARTED:
            if time.monotonic() - began > _GONE_S:
                raise TimeoutError(f"Serve has not deleted {model_app(uid)} within {_GONE_S:g} s")
            await self._in_thread(drop_pending_replicas, uid)
            await asyncio.sleep(_GONE_POLL_S)

    async def found(self) -> dict[str, bool]:
        """The UIDs of the applications that Serve has, and whether each is alive: neither failed nor on its way out.

        ``RayServeException`` if Serve does not run yet.
        """
        await self._in_thread(_get_global_client, raise_if_no_controller_running=True)
        status = await self._in_thread(serve.status)
        dead = (ApplicationStatus.DEPLOY_FAILED, ApplicationStatus.DELETING)
        prefix = model_app("")
        models = {name: app for name, app in status.applications.items() if name.startswith(prefix)}
        return {name.removeprefix(prefix): app.status not in dead for name, app in models.items()}

    def check_room(self, spec: ModelSpec, models: Iterable[ModelStatus]) -> None:
        """``LaunchRefused`` if the nodes that ``spec`` may run on have not the GPUs for it beside ``models``.

        Not for one that waits: Ray keeps its replicas pending, which is what has Ray's autoscaler start a node.
        """
        if spec.wait_for_capacity:
            return
        lack = lack_of_room(spec, gpu_inventory(models, spec.node, spec.node_labels))
        if lack:
            raise LaunchRefused(lack, param="n_gpu")

    def choose_nodes(self, spec: ModelSpec, models: Iterable[ModelStatus], reports: Mapping[str, NodeReport]) -> Groups:
        """The nodes that ``spec`` is to be placed on first."""
        return choose_nodes(spec, open_nodes(), models, reports)

    def draining(self) -> set[str]:
        """The addresses of the nodes that are drained. Blocks on Ray."""
        return draining_addresses()

    def _run(self, spec: ModelSpec) -> None:
        build = import_attr(WORKER_APP)
        target = serve.RunTarget(build(spec, self._settings), name=model_app(spec.uid), route_prefix=None)
        # Waiting as Serve does it would not end if the application were deleted in the meantime.
        serve.run_many([target], wait_for_ingress_deployment_creation=False, wait_for_applications_running=False)

    async def _in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        bound = functools.partial(call, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, bound)


def _status(uid: str) -> ApplicationStatus:
    """NOT_STARTED for an application that Serve does not know."""
    client: Any = _get_global_client(raise_if_no_controller_running=True)
    status: ApplicationStatus = client.get_serve_status(model_app(uid)).app_status.status
    return status
