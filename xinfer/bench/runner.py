"""A whole run: every level, every round, every server in its turn."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from time import perf_counter

from xinfer.bench import cpu, load
from xinfer.bench.cpu import Watched
from xinfer.bench.engines import Engines
from xinfer.bench.gpus import Gpus
from xinfer.bench.metrics import Leg, LegMetrics
from xinfer.bench.plan import Level, Plan
from xinfer.bench.progress import Progress
from xinfer.bench.result import LevelResult, Round
from xinfer.bench.sample import Failure, Sample
from xinfer.bench.sender import Sender
from xinfer.bench.stats import values_of
from xinfer.bench.target import Side, Target
from xinfer.bench.workload import Conversation, Prompts, Workload


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
    _responsive: set[Side] = field(default_factory=set)
    """The servers of which a request has succeeded."""
    _legs: int = 0

    def __post_init__(self) -> None:
        self._prompts = Prompts(self.workload)

    async def run(self) -> tuple[LevelResult, ...]:
        return tuple([await self._level(level) for level in self.plan.levels])

    async def _level(self, level: Level) -> LevelResult:
        for side in self.targets:
            await self._warm_up(side, level)
        rounds = [await self._round(level, number) for number in range(self.plan.rounds)]
        return LevelResult(level, tuple(rounds))

    async def _warm_up(self, side: Side, level: Level) -> None:
        conversations = self.plan.warm_up_at(level, self.workload.turns)
        if not conversations:
            return
        self.progress.begin(f"{side.upper()} warm-up, {level}", conversations * self.workload.turns)
        self._check(side, await load.closed_loop(self._streams(side, level, conversations)))

    async def _round(self, level: Level, number: int) -> Round:
        legs: dict[Side, LegMetrics] = {}
        for side in leg_order(number, versus="b" in self.targets):
            legs[side] = await self._measure(side, level, number)
        return Round(legs)

    async def _measure(self, side: Side, level: Level, number: int) -> LegMetrics:
        before = await self.engines.settled()
        # Setting up connections is no part of the leg, nor is the garbage of the leg before.
        await self.sender.connect(self.targets[side].server, level.connections)
        gc.collect()
        self._announce(side, level, number)
        leg = await self._leg(side, level, number)
        leg = replace(leg, engines=await self.engines.use_since(before))
        metrics = LegMetrics.of(leg)
        self.progress.end(metrics)
        self._check(side, leg.samples)
        return metrics

    def _announce(self, side: Side, level: Level, number: int) -> None:
        total = None
        if not self.plan.duration_s:
            total = self._requests(level)
        self.progress.begin(f"{side.upper()} round {number + 1} of {self.plan.rounds}, {level}", total)

    async def _leg(self, side: Side, level: Level, number: int) -> Leg:
        gpu_mark = self.gpus.mark()
        cpu_before = cpu.cpu_seconds(self.watched)
        own_before = cpu.own_cpu_seconds()
        began_s = perf_counter()
        samples = await self._load(side, level, number)
        wall_s = perf_counter() - began_s
        own_cpu_s = cpu.own_cpu_seconds() - own_before
        cpu_s = cpu.between(cpu_before, cpu.cpu_seconds(self.watched))
        return Leg(samples, wall_s, own_cpu_s, cpu_s, gpus=self.gpus.uses_since(gpu_mark))

    async def _load(self, side: Side, level: Level, number: int) -> list[Sample]:
        duration_s = self.plan.duration_s
        if level.kind == "rate":
            # The seed has no side in it: both servers of a pair have the same arrivals.
            arrivals = load.poisson(level.value, self.workload.seed + number)
            due_s = load.bounded(arrivals, self._requests(level), duration_s)
            requests = chain.from_iterable(self._talks(side))
            return await load.open_loop(requests, due_s, self.plan.max_in_flight)
        conversations = None
        if not duration_s:
            conversations = self._requests(level) // self.workload.turns
        return await load.closed_loop(self._streams(side, level, conversations), duration_s)

    def _requests(self, level: Level) -> int:
        return level.requests(self.plan.requests, self.workload.turns)

    def _streams(self, side: Side, level: Level, conversations: int | None) -> list[Iterator[load.Send]]:
        """Streams that share a leg's conversations: each takes the next one when its last one is over."""
        # One iterator for all streams, or a slow stream would leave the others idle at the end of the leg.
        talks = islice(self._talks(side), conversations)
        return [chain.from_iterable(talks) for _ in range(level.connections)]

    def _talks(self, side: Side) -> Iterator[Iterator[load.Send]]:
        """The conversations of the next leg, each with a beginning of its own."""
        self._legs += 1
        return map(partial(self._talk, side), self._prompts.of_leg(self._legs))

    def _talk(self, side: Side, conversation: Conversation) -> Iterator[load.Send]:
        for turn in range(conversation.turns):
            body = self.workload.body(self.targets[side].model, conversation, turn)
            yield partial(self._send, side, json.dumps(body).encode(), turn)

    async def _send(self, side: Side, body: bytes, turn: int) -> Sample:
        target = self.targets[side]
        url = target.inference_url(self.workload.api)
        sample = await self.sender.send(target.server, url, body, stream=self.workload.stream)
        self.progress.advance()
        return replace(sample, turn=turn)

    def _check(self, side: Side, samples: Sequence[Sample]) -> None:
        """Raise if no request to this server has succeeded so far."""
        failures: list[Failure] = values_of(samples, "failure")
        if len(failures) < len(samples):
            self._responsive.add(side)
        elif failures and side not in self._responsive:
            raise failures[0].error


def leg_order(number: int, versus: bool) -> tuple[Side, ...]:
    """Which server is measured first in a round."""
    if not versus:
        return ("a",)
    # A B, then B A, so that a drift of the machine favours neither.
    if number % 2 == 0:
        return ("a", "b")
    return ("b", "a")
