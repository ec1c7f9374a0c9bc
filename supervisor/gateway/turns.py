"""Requests with keys that wait for a place at a full model, and are called when it is their turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from supervisor.access.meter import Meter
from supervisor.gateway.balancer import Balancer
from supervisor.gateway.fair_queue import FairQueue
from supervisor.model_table import LiveTable
from xinfer.errors import ModelLoading, ModelOverloaded, XinferError
from xinfer.messages import Priority, ReplicaReport
from xinfer.settings import GatewaySettings

_BANDS = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}
# There may be new replicas, or a place may no longer be kept for somebody.
_LOOK_AGAIN_S = 0.5
_NO_BOUND = 1 << 30

Begin = Callable[[Sequence[ReplicaReport]], ReplicaReport]
"""Counts the request at one of these replicas."""


class Turns:
    """The queues of all models at this supervisor. Without a depth in ``settings`` nobody waits."""

    def __init__(
        self,
        settings: GatewaySettings,
        models: LiveTable,
        balancer: Balancer,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._models = models
        self._balancer = balancer
        self._now = now
        self._queues: dict[str, ModelQueue] = {}
        self._tidied_at = now()

    def of(self, uid: str, limit: int, meter: Meter) -> Turn | None:
        """How a request waits for the model, each replica of which takes ``limit`` from here; None if nobody waits."""
        if not self._settings.queue_depth:
            return None
        self._tidy()
        queue = self._queues.get(uid)
        if queue is None:
            queue = ModelQueue(uid, self._settings, self._models, self._balancer, self._now)
            self._queues[uid] = queue
        queue.limit = limit
        key = meter.caller.key
        turn = Turn(queue, key.id, _BANDS[key.priority], float(meter.prompt_estimate))
        meter.on_settled(turn.settle)
        return turn

    def freed(self, uid: str) -> None:
        """A place at the model has become free."""
        queue = self._queues.get(uid)
        if queue is not None:
            queue.serve()

    def waiting(self, uid: str) -> int:
        """Requests that wait for the model."""
        queue = self._queues.get(uid)
        return 0 if queue is None else len(queue.line)

    def _tidy(self) -> None:
        now = self._now()
        if now - self._tidied_at < self._settings.queue_keep_s:
            return
        self._tidied_at = now
        for queue in self._queues.values():
            queue.line.forget(now)
        known = self._models.all
        self._queues = {uid: queue for uid, queue in self._queues.items() if uid in known or len(queue.line)}


class ModelQueue:
    """The requests that wait for one model."""

    def __init__(
        self, uid: str, settings: GatewaySettings, models: LiveTable, balancer: Balancer, now: Callable[[], float]
    ) -> None:
        self.line: FairQueue[Turn] = FairQueue(settings.queue_depth, settings.queue_drop, settings.queue_keep_s)
        self.limit = 0
        self.timeout_s = settings.queue_timeout_s
        self.balancer = balancer
        self.now = now
        self.uid = uid
        self._models = models
        self._timer: asyncio.TimerHandle | None = None

    def serve(self) -> None:
        """Let in who may begin now."""
        while len(self.line):
            free, places = self._room()
            turn = self.line.take(free, places, self.now())
            if turn is None:
                break
            turn.called(self._targets)
        if len(self.line) and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_AGAIN_S, self._look_again)

    def _look_again(self) -> None:
        self._timer = None
        self.serve()

    def _room(self) -> tuple[int, int]:
        """How many places are free, and how many there are."""
        try:
            targets = self._targets()
        except XinferError:
            # It is gone: each of its requests hears why when it begins.
            return _NO_BOUND, _NO_BOUND
        free = sum(self.balancer.places(target.replica, self.limit) for target in targets)
        return free, self.limit * len(targets)

    def _targets(self) -> Sequence[ReplicaReport]:
        _, targets = self._models.targets(self.uid)
        if not targets:
            raise ModelLoading(f"The model {self.uid!r} went to sleep.", retry_after_s=1)
        return targets


class Turn:
    """One request, from before it waits until it is over."""

    __slots__ = ("_band", "_begin", "_charged", "_cost", "_future", "_key", "_prompt", "_queue", "_running")

    def __init__(self, queue: ModelQueue, key: str, band: int, prompt: float) -> None:
        """``prompt`` is the estimated number of its tokens."""
        self._queue = queue
        self._key = key
        self._band = band
        self._prompt = prompt
        self._cost = prompt + queue.line.expected(key, band)
        self._charged = False
        self._running = False
        self._begin: Begin | None = None
        self._future: asyncio.Future[ReplicaReport] | None = None

    async def begin(self, begin: Begin) -> ReplicaReport:
        """The replica at which ``begin`` has counted the request, once there is a place. Raises ``ModelOverloaded``."""
        again = self._charged
        self.leave()
        self._begin = begin
        future: asyncio.Future[ReplicaReport] = asyncio.get_running_loop().create_future()
        self._future = future
        queue = self._queue
        cost = 0.0 if again else self._cost
        dropped = queue.line.arrive(self._key, self._band, self, cost, queue.now(), again=again)
        if dropped is not None:
            dropped.drop()
        queue.serve()
        try:
            if future.done():
                return future.result()
            async with asyncio.timeout(queue.timeout_s):
                return await future
        except BaseException as reason:
            self._give_up(future)
            if isinstance(reason, TimeoutError):
                sentence = f"The model {queue.uid!r} had no place for this request within {queue.timeout_s:g} seconds."
                raise ModelOverloaded(sentence, retry_after_s=1) from None
            raise

    def called(self, targets: Callable[[], Sequence[ReplicaReport]]) -> None:
        """It is its turn: the request begins, unless nobody waits for it any more."""
        assert self._begin is not None, "who is called has something to begin"
        assert self._future is not None, "who is called has waited"
        self._running = self._charged = True
        if self._future.done():
            return
        try:
            self._future.set_result(self._begin(targets()))
        except XinferError as error:
            self._future.set_exception(error)

    def drop(self) -> None:
        """Refuse the request: others have more of a right to wait."""
        assert self._future is not None, "who is dropped has waited"
        if not self._future.done():
            sentence = f"The model {self._queue.uid!r} has all the requests it can take, and as many wait as may."
            self._future.set_exception(ModelOverloaded(sentence, retry_after_s=1))

    def leave(self) -> None:
        """The request is not at a replica any more."""
        if self._running:
            self._running = False
            self._queue.line.end(self._key, self._band)

    def settle(self, used: int) -> None:
        """The request has used so many tokens."""
        if self._charged:
            self._queue.line.charge(self._key, self._band, used - self._cost, used - self._prompt)

    def _give_up(self, future: asyncio.Future[ReplicaReport]) -> None:
        """The place that it may have got in the same moment goes to the next one."""
        queue = self._queue
        queue.line.leave(self._key, self._band, self)
        self.leave()
        if future.done() and not future.cancelled() and future.exception() is None:
            queue.balancer.end(future.result())
        queue.serve()
