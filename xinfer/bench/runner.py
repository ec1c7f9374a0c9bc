"""A whole run: every level, every round, every server in its turn."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from time import perf_counter
from typing import Any, TypeVar

from xinfer.bench import arrivals, cpu, load
from xinfer.bench.conversation import Conversation
from xinfer.bench.cpu import Watched
from xinfer.bench.engines import Engines
from xinfer.bench.figures import Figures, Leg, figures
from xinfer.bench.gpus import Gpus
from xinfer.bench.level import Level
from xinfer.bench.paired import Side, turns
from xinfer.bench.plan import Plan, Workload
from xinfer.bench.progress import Progress
from xinfer.bench.prompts import Prompts
from xinfer.bench.result import LevelResult, Round
from xinfer.bench.sample import Sample
from xinfer.bench.sender import Sender
from xinfer.bench.target import Target

T = TypeVar("T")


def run_in_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run it to its end in a loop of its own: uvloop's if it is there, which costs the generator less."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work)


@dataclass
class Runner:
    """Carries out a plan. A server of which not one request succeeds ends it with the error of the first."""

    plan: Plan
    workload: Workload
    targets: Mapping[Side, Target]
    sender: Sender
    engines: Engines
    progress: Progress
    watched: Watched = field(default_factory=dict)
    gpus: Gpus = field(default_factory=Gpus)
    _answered: set[Side] = field(default_factory=set)
    _legs: int = 0

    def __post_init__(self) -> None:
        self._prompts = Prompts(self.workload)

    async def run(self) -> tuple[LevelResult, ...]:
        return tuple([await self._level(level) for level in self.plan.levels])

    async def _level(self, level: Level) -> LevelResult:
        for side in self.targets:
            await self._warm_up(side, level)
        rounds = []
        for number in range(self.plan.rounds):
            order = turns(number, versus="b" in self.targets)
            rounds.append(Round({side: await self._measure(side, level, number) for side in order}))
        return LevelResult(level, tuple(rounds))

    async def _warm_up(self, side: Side, level: Level) -> None:
        conversations = self.plan.warm_up_at(level, self.workload.turns)
        if not conversations:
            return
        self.progress.begin(f"{side.upper()} warm-up, {level}", conversations * self.workload.turns)
        self._check(side, await load.closed_loop(self._streams(side, level, conversations)))

    async def _measure(self, side: Side, level: Level, number: int) -> Figures:
        """One leg, on connections that are open already."""
        before = await self.engines.settled()
        await self.sender.connect(self.targets[side].server, level.at_once)
        gc.collect()
        title = f"{side.upper()} round {number + 1} of {self.plan.rounds}, {level}"
        self.progress.begin(title, None if self.plan.duration_s else self._requests(level))
        leg = await self._leg(side, level, number)
        leg = replace(leg, engines=await self.engines.use_since(before))
        found = figures(leg)
        self.progress.end(found)
        self._check(side, leg.samples)
        return found

    async def _leg(self, side: Side, level: Level, number: int) -> Leg:
        mark = self.gpus.mark()
        before = cpu.cpu_seconds(self.watched)
        own = cpu.own_cpu_seconds()
        began_s = perf_counter()
        samples = await self._load(side, level, number)
        wall_s = perf_counter() - began_s
        own = cpu.own_cpu_seconds() - own
        used = cpu.between(before, cpu.cpu_seconds(self.watched))
        return Leg(samples, wall_s, own, used, gpus=self.gpus.uses_since(mark))

    async def _load(self, side: Side, level: Level, number: int) -> list[Sample]:
        requests = self._requests(level)
        duration_s = self.plan.duration_s
        if level.kind == "concurrency":
            conversations = None if duration_s else requests // self.workload.turns
            return await load.closed_loop(self._streams(side, level, conversations), duration_s)
        # The same arrivals for both servers of a pair.
        due_s = arrivals.bounded(arrivals.poisson(level.value, self.workload.seed + number), requests, duration_s)
        return await load.open_loop(chain.from_iterable(self._talks(side)), due_s, self.plan.max_in_flight)

    def _requests(self, level: Level) -> int:
        return level.requests(self.plan.requests, self.workload.turns)

    def _streams(self, side: Side, level: Level, conversations: int | None) -> list[Iterator[load.Send]]:
        """A leg's so many conversations, or any number: each stream takes the next one when its last one is over."""
        talks = islice(self._talks(side), conversations)
        return [chain.from_iterable(talks) for _ in range(level.at_once)]

    def _talks(self, side: Side) -> Iterator[Iterator[load.Send]]:
        """The conversations of the next leg, each with a beginning of its own."""
        self._legs += 1
        return (self._talk(side, conversation) for conversation in self._prompts.of_leg(self._legs))

    def _talk(self, side: Side, conversation: Conversation) -> Iterator[load.Send]:
        for turn in range(conversation.turns):
            body = self.workload.body(self.targets[side].model, conversation, turn)
            yield partial(self._send, side, json.dumps(body).encode(), turn)

    async def _send(self, side: Side, body: bytes, turn: int) -> Sample:
        target = self.targets[side]
        stream = self.workload.stream
        sample = await self.sender.send(target.server, target.inference_url(self.workload.api), body, stream=stream)
        self.progress.advance()
        return replace(sample, turn=turn)

    def _check(self, side: Side, samples: Sequence[Sample]) -> None:
        """Raise if this server has yet to answer a single request."""
        failures = [sample.failure for sample in samples if sample.failure is not None]
        if len(failures) < len(samples):
            self._answered.add(side)
        elif failures and side not in self._answered:
            raise failures[0].error
