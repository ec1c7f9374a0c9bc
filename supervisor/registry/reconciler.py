"""Has Ray Serve run what ``Models`` says, one thing after the other for each model."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import ray
from ray.serve.exceptions import RayServeException

from supervisor.background import Background
from supervisor.registry.models import Delete, Deploy, Models
from supervisor.registry.node_choice import Groups
from supervisor.registry.store import Store
from xinfer.messages import ModelSpec, ModelStatus, NodeReport

_log = logging.getLogger("xinfer.registry")
_RETRY_S = 1.0
_SERVE_PERIOD_S = 0.2


class Deployments(Protocol):
    """What the registry has done on Ray Serve; ``Deployer`` does it, tests have a double."""

    def check_room(self, spec: ModelSpec, models: Iterable[ModelStatus]) -> None: ...

    def choose_nodes(
        self, spec: ModelSpec, models: Iterable[ModelStatus], reports: Mapping[str, NodeReport]
    ) -> Groups: ...

    async def deploy(self, spec: ModelSpec) -> None: ...

    async def comes_up(self, uid: str) -> bool: ...

    async def delete(self, uid: str) -> None: ...

    async def found(self) -> dict[str, bool]: ...

    def draining(self) -> set[str]: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the reconciler asks of the registry."""

    background: Background
    publish: Callable[[], Awaitable[None]]
    """Tell everybody what has changed."""
    now: Callable[[], float]
    """Unix time in seconds."""


class Reconciler:
    """Carries out ``Models.next_action``. Nothing is done before it is known what Serve has."""

    def __init__(self, models: Models, store: Store, deployer: Deployments, registry: Surroundings) -> None:
        self._models = models
        self._store = store
        self._deployer = deployer
        self._background = registry.background
        self._publish = registry.publish
        self._now = registry.now
        self._knows_serve = asyncio.Event()
        self._under_way: set[str] = set()
        self._starts: dict[str, asyncio.Task[None]] = {}

    @property
    def is_at_rest(self) -> bool:
        """Whether it knows what Serve has, and has nothing to do."""
        return self._knows_serve.is_set() and not self._under_way

    async def on_change(self, uid: str) -> None:
        """Something has happened to this model: tell everybody, and have done what is to be done about it."""
        if uid not in self._under_way:
            self._under_way.add(uid)
            self._background.spawn(self._follow(uid))
        await self._publish()

    async def take_over(self) -> None:
        """After a start: bring up what should run and does not, take down what runs and should not."""
        found: dict[str, bool] | None = None
        while found is None:
            try:
                found = await self._deployer.found()
            except RayServeException:
                # The registry starts beside Serve.
                await asyncio.sleep(_SERVE_PERIOD_S)
            except ray.exceptions.RayError as error:
                _log.warning("Serve's controller was not reached: %s", type(error).__name__)
                await asyncio.sleep(_RETRY_S)
        for uid, alive in found.items():
            self._models.found(uid, self._now(), alive=alive)
        self._knows_serve.set()
        for uid in {*found, *self._models.table().models}:
            await self.on_change(uid)

    async def _follow(self, uid: str) -> None:
        """Do one thing after the other about this model until there is nothing more to do; the only one to do so."""
        try:
            await self._knows_serve.wait()
            while step := self._models.next_action(uid, self._now()):
                start = self._starts.pop(uid, None)
                if start:
                    start.cancel()
                await self._publish()
                match step:
                    case Deploy(spec):
                        await self._deploy(spec)
                    case Delete():
                        await self._delete(step)
                await self._publish()
        finally:
            self._under_way.discard(uid)

    async def _deploy(self, spec: ModelSpec) -> None:
        self._store.save(self._models.get(spec.uid).durable_spec)
        try:
            await self._deployer.deploy(spec)
        except Exception:  # noqa: BLE001  # whatever Serve or Ray raises, the launch has failed
            _log.exception("Serve did not take %s", spec.uid)
            self._models.deploy_failed(spec, self._now())
        else:
            self._starts[spec.uid] = self._background.spawn(self._follow_start(spec))

    async def _follow_start(self, spec: ModelSpec) -> None:
        """Replicas report their own failures; this is for those that could not."""
        while True:
            try:
                is_up = await self._deployer.comes_up(spec.uid)
                break
            except ray.exceptions.RayError as error:
                _log.warning("Serve's controller was not reached: %s", type(error).__name__)
                await asyncio.sleep(_RETRY_S)
        if not is_up:
            _log.error("Serve has given up on %s", spec.uid)
            self._models.deploy_failed(spec, self._now())
            await self.on_change(spec.uid)

    async def _delete(self, step: Delete) -> None:
        if step.forget:
            self._store.forget(step.uid)
        try:
            await self._deployer.delete(step.uid)
        except Exception:  # noqa: BLE001  # it cannot be waited for any longer
            _log.exception("Serve did not delete %s", step.uid)
        finally:
            self._models.on_application_deleted(step.uid, self._now())
