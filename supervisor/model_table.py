"""The supervisor's own copy of the routing table: pushed by the registry, read without asking anybody."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from pydantic import ValidationError

from supervisor.registry.client import RegistryClient
from xinfer.catalog import Catalog, Family
from xinfer.errors import ModelLoading, ModelNotFound, Unavailable
from xinfer.messages import ModelState, ModelStatus, ModelTable, ReplicaReport, Usage

_log = logging.getLogger("xinfer.gateway")
# How old what the registry knows of the use of models may be.
_WATCH_S = 5.0
_RETRY_S = 0.5
_SUSPECT_S = 10.0
_NOT_THERE = frozenset({ModelState.FAILED, ModelState.CANCELLED, ModelState.TERMINATING})


class LiveTable:
    """All models as last heard of. While the registry is away, what was last heard goes on being true."""

    def __init__(self, registry: RegistryClient) -> None:
        self._registry = registry
        self._id = uuid.uuid4().hex
        self._usages: Callable[[Mapping[str, ModelStatus]], dict[str, Usage]] = lambda _: {}
        self._table = ModelTable()
        self._changed = asyncio.Condition()
        self._suspects: dict[str, float] = {}
        # For every request: a model may have a hundred.
        self._targets: dict[str, tuple[ReplicaReport, ...]] = {}
        self._listeners: list[Callable[[set[str]], None]] = []
        self._task: asyncio.Task[None] | None = None
        self._asking: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to follow the registry; returns with the first table at hand."""
        self._task = asyncio.create_task(self._follow())
        async with self._changed:
            await self._changed.wait_for(lambda: self._table.version > 0)

    async def stop(self) -> None:
        tasks = list(self._asking)
        if self._task:
            tasks.append(self._task)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def all(self) -> dict[str, ModelStatus]:
        """Every model by UID, failed launches included."""
        return self._table.models

    @property
    def version(self) -> int:
        """Of the table that this supervisor acts on."""
        return self._table.version

    @property
    def supervisor_id(self) -> str:
        """By which the registry knows this supervisor."""
        return self._id

    @property
    def stops_at(self) -> float | None:
        """Unix time at which the cluster ends; None unless it is being stopped."""
        return self._table.stops_at

    @property
    def catalog(self) -> Catalog:
        """Every family that can be launched by name, shipped and registered. The first call reads the shipped ones from disk."""
        return _catalog_with(self._table.families or ())

    def get(self, uid: str) -> ModelStatus:
        """The model, or ``ModelNotFound``, with the reason if its launch failed."""
        model = self._table.models.get(uid)
        if model is None or model.state in _NOT_THERE:
            raise ModelNotFound(_why_not(uid, model), param="model")
        return model

    async def with_progress(self, model: ModelStatus) -> ModelStatus:
        """``model`` with the latest reports of its replicas: the table itself does not follow each step of a download."""
        try:
            reports = await self._registry.progress(model.spec.uid)
        except Unavailable:
            return model
        latest = {report.replica: report for report in reports}
        return replace(model, replicas=tuple(latest.get(each.replica, each) for each in model.replicas))

    def targets(self, uid: str) -> tuple[ModelStatus, Sequence[ReplicaReport]]:
        """The model and its reachable replicas; none if it has to be waited for because it sleeps or wakes up.

        ``ModelLoading`` or ``Unavailable`` if there are none now otherwise.
        """
        model = self.get(uid)
        if model.is_asleep or model.waking:
            return model, ()
        ready = self._targets.get(uid)
        if ready is None:
            ready = self._targets[uid] = model.targets
        targets: Sequence[ReplicaReport] = ready
        if self._suspects:
            now = time.monotonic()
            self._suspects = {name: until for name, until in self._suspects.items() if until > now}
            targets = [r for r in ready if r.replica not in self._suspects]
        if targets:
            return model, targets
        if ready:
            raise Unavailable(f"No replica of the model {uid!r} can be reached right now.", retry_after_s=2)
        raise ModelLoading(f"The model {uid!r} is still loading.", retry_after_s=5)

    def suspect(self, uid: str, replica: ReplicaReport) -> None:
        """This replica did not take a connection: leave it out for a while and have the registry look."""
        self._suspects[replica.replica] = time.monotonic() + _SUSPECT_S
        task = asyncio.create_task(self._report_suspect(uid, replica))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    def on_replicas_gone(self, listener: Callable[[set[str]], None]) -> None:
        """Have ``listener`` called with the names of replicas that the table has no more."""
        self._listeners.append(listener)

    def report_usage(self, usages: Callable[[Mapping[str, ModelStatus]], dict[str, Usage]]) -> None:
        """Have the registry told what ``usages`` says of the models there are."""
        self._usages = usages

    async def wait_until(self, condition: Callable[[dict[str, ModelStatus]], bool]) -> None:
        """Wait until ``condition`` holds for the table."""
        async with self._changed:
            await self._changed.wait_for(lambda: condition(self._table.models))

    async def wait_until_everywhere(self, condition: Callable[[dict[str, ModelStatus]], bool]) -> None:
        """Wait until ``condition`` holds for the table, and other supervisors have heard of it.

        A change is confirmed after that: the next request of the same client may reach another supervisor.
        """
        await self.wait_until(condition)
        await self._reach_all()

    async def wait_for_stop(self, stopping: bool) -> None:
        """Wait until the cluster is being stopped, or is not any more."""
        async with self._changed:
            await self._changed.wait_for(lambda: (self._table.stops_at is not None) == stopping)

    async def wait_for_version(self, version: int) -> None:
        """Wait until every supervisor has the table of ``version`` or a later one."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._table.version >= version)
        await self._reach_all()

    async def _reach_all(self) -> None:
        # A registry that is away has confirmed the change already.
        with contextlib.suppress(Unavailable):
            await self._registry.reach_all(self._table.version)

    async def _follow(self) -> None:
        while True:
            try:
                usages = self._usages(self._table.models)
                news = await self._registry.watch(
                    self._table.version, _WATCH_S, self._id, usages, self._table.families_version
                )
            except Unavailable:
                _log.warning("the registry is away; going on with the last table")
                await asyncio.sleep(_RETRY_S)
                continue
            gone = self._apply(news)
            async with self._changed:
                self._changed.notify_all()
            if gone:
                for listener in self._listeners:
                    listener(gone)

    def _apply(self, news: ModelTable) -> set[str]:
        """Act on ``news`` from now on; returns the names of the replicas that are gone with it."""
        before = self._table.models
        news = replace(news, models=self._with_known_replicas(news.models))
        self._table = news.applied_to(self._table)
        touched = before.keys() if news.since is None else {*news.models, *news.gone}
        for uid in {*touched, *news.models}:
            self._targets.pop(uid, None)
        gone = _replicas_of(before, touched)
        if gone:
            gone -= _replicas_of(self._table.models, touched)
        return gone

    def _with_known_replicas(self, models: dict[str, ModelStatus]) -> dict[str, ModelStatus]:
        """``models``; those that a new registry has from its file only, with the replicas that were last heard of.

        The replicas report to it with their next health check, and serve requests meanwhile.
        """
        known: dict[str, ModelStatus] = {}
        for uid, model in models.items():
            before = self._table.models.get(uid)
            if model.restored and before and before.spec.created_at == model.spec.created_at:
                known[uid] = _with_replicas_of(before, model)
        return {**models, **known}

    async def _report_suspect(self, uid: str, replica: ReplicaReport) -> None:
        with contextlib.suppress(Unavailable):
            await self._registry.suspect(uid, replica.replica, str(replica.address))


def _replicas_of(models: Mapping[str, ModelStatus], uids: Iterable[str]) -> set[str]:
    names: set[str] = set()
    for uid in uids:
        if uid in models:
            names.update(report.replica for report in models[uid].replicas)
    return names


def _with_replicas_of(before: ModelStatus, model: ModelStatus) -> ModelStatus:
    reported = {report.replica for report in model.replicas}
    unheard = tuple(report for report in before.replicas if report.replica not in reported)
    comes_up = model.state in (ModelState.PENDING, ModelState.LAUNCHING, ModelState.READY)
    if not unheard or not comes_up or before.state is not ModelState.READY:
        return model
    return replace(model, state=ModelState.READY, replicas=model.replicas + unheard)


def _why_not(uid: str, model: ModelStatus | None) -> str:
    if model and model.state is ModelState.FAILED:
        return f"The model {uid!r} is not running: its launch failed. {model.reason}"
    if model and model.state is ModelState.CANCELLED:
        return f"The model {uid!r} is not running. {model.reason}"
    return f"There is no model {uid[:100]!r}. GET /v1/models lists what runs."


# The table's families change rarely, and every launch and listing reads the catalog.
@lru_cache(maxsize=1)
def _catalog_with(registered: tuple[str, ...]) -> Catalog:
    """The shipped families and the registered ones, which the table has as JSON."""
    families: list[Family] = []
    for text in registered:
        try:
            families.append(Family.model_validate_json(text))
        except ValidationError as error:
            # Another version of xinfer may have stored it. One such family must not hide the others.
            _log.error("a registered family cannot be read, leaving it out: %s", error)
    return Catalog.load().extended(families)
