"""A cluster far larger than any machine here, of xinfer's own classes: no Ray, no sockets, a seeded generator in place of users.

What it measures is the CPU and the memory of the decisions and of the records that travel. What it leaves out is what carries
them: Ray's calls, the network, HTTP.
"""

from __future__ import annotations

import pickle
import random
import time
import tracemalloc
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import mean, quantiles

from supervisor.api.nodes import views
from supervisor.gateway.balancer import Balancer
from supervisor.gateway.prefix import PromptKey
from supervisor.gateway.shared_loads import exchange_period_s
from supervisor.registry.events import Events
from supervisor.registry.models import Models
from supervisor.registry.supervisor_loads import SupervisorLoads
from xinfer.messages import (
    ClusterLoad,
    GpuReport,
    ModelSpec,
    ModelTable,
    NodeReport,
    ReplicaReport,
    ReplicaStage,
    StageTime,
)

_STAGES = (ReplicaStage.PLACING, ReplicaStage.STARTING, ReplicaStage.LOADING, ReplicaStage.WARMING_UP)
_RACK_NODES = 40
_LIMIT = 1024
_SESSION_TURNS = 6
_PROMPT_BLOCKS = 24
# Of a session's prompts, those that all users of a model share.
_SHARED_BLOCKS = 8
_BLOCKS_PER_TURN = 3
# Of a stream, in the mean.
_DURATION_S = 30.0


@dataclass(frozen=True, slots=True)
class Size:
    """How large the cluster is."""

    nodes: int = 2_000
    models: int = 1_000
    replicas_per_model: int = 10
    supervisors: int = 40
    streams: int = 100_000


@dataclass(frozen=True, slots=True)
class Figure:
    """One result. ``unit`` is what the value is in."""

    what: str
    value: float
    unit: str


class Cluster:
    """The registry's models with all of their replicas ready, and what supervisors have of them."""

    def __init__(self, size: Size, seed: int = 1) -> None:
        self.size = size
        self.random = random.Random(seed)
        self.models = Models(version=1)
        self.now = 1_000.0
        self._nodes = [f"10.{n // 62_500}.{n // 250 % 250}.{n % 250}" for n in range(size.nodes)]
        for number in range(size.models):
            self._launch(f"model-{number}", number)

    def node_of(self, number: int) -> str:
        return self._nodes[number % len(self._nodes)]

    def lose(self, nodes: set[str]) -> list[tuple[str, str]]:
        """Drop the replicas on these nodes; each as its model and its name."""
        lost = []
        for uid, model in self.models.table().models.items():
            lost += [(uid, report.replica) for report in model.replicas if report.node in nodes]
        for uid, replica in lost:
            self.models.lost(uid, replica, self.now)
        return lost

    def report(self, uid: str, replica: str, stage: ReplicaStage, node: str) -> None:
        """What a replica says at a stage."""
        self.now += 0.001
        times = tuple(StageTime(each, self.now) for each in _STAGES)
        ready = stage is ReplicaStage.READY
        address = f"http://{node}:{30_000 + hash(replica) % 20_000}" if ready else None
        log = f"/var/lib/xinfer/logs/engines/{uid}-{replica}.log"
        told = ReplicaReport(
            uid, replica, stage, node, address, 4_000, ("0",), "", 32_768 if ready else None, None, log, times
        )
        self.models.report(replace(told, created_at=self.now, updated_at=self.now))

    def _launch(self, uid: str, number: int) -> None:
        count = self.size.replicas_per_model
        abilities = ("chat", "tools")
        spec = ModelSpec(
            uid, "qwen3", "Qwen/Qwen3-8B", abilities=abilities, replicas=count, gpus=1, created_at=self.now
        )
        self.models.add(spec)
        self.models.next_action(uid, self.now)
        for n in range(count):
            replica = f"{uid}-{n:04d}"
            self.report(uid, replica, ReplicaStage.READY, self.node_of(number * count + n))


@contextmanager
def cpu_time(into: list[float]) -> Iterator[None]:
    """Append the CPU seconds of a block."""
    began = time.process_time()
    yield
    into.append(time.process_time() - began)


def memory_of(make: Callable[[], object]) -> float:
    """MiB that what ``make`` makes holds."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    made = make()
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    del made
    return held / 1024**2


def measure(size: Size) -> list[Figure]:
    """Every figure of docs/scale.md."""
    cluster = Cluster(size)
    return [
        Figure("registry: memory of all models and replicas", memory_of(lambda: Cluster(size)), "MiB"),
        *_changes(cluster),
        *_rack(Cluster(size)),
        *_routing(cluster),
        *_nodes(cluster),
    ]


def _changes(cluster: Cluster) -> list[Figure]:
    """What one change costs the registry and each supervisor, whole table and changes alone."""
    models, size = cluster.models, cluster.size
    whole = models.table()
    text = pickle.dumps(whole, protocol=5)
    packing: list[float] = []
    unpacking: list[float] = []
    for _ in range(5):
        with cpu_time(packing):
            pickle.dumps(models.table(), protocol=5)
        with cpu_time(unpacking):
            pickle.loads(text)

    events = Events(whole, cluster.now)
    table = whole
    registry: list[float] = []
    supervisor: list[float] = []
    sizes: list[int] = []
    for number in range(200):
        before = models.version
        uid = f"model-{cluster.random.randrange(size.models)}"
        cluster.report(uid, f"{uid}-new-{number}", ReplicaStage.STARTING, cluster.node_of(number))
        with cpu_time(registry):
            changes = models.table(since=before)
            events.observe(changes, cluster.now)
            packed = pickle.dumps(changes, protocol=5)
        sizes.append(len(packed))
        with cpu_time(supervisor):
            table = pickle.loads(packed).applied_to(table)
    assert table.models == models.table().models
    all_told = mean(registry) + size.supervisors * mean(supervisor)
    return [
        Figure("whole table: bytes to each supervisor", len(text) / 1024**2, "MiB"),
        Figure("whole table: CPU of the registry for one supervisor", 1000 * mean(packing), "ms"),
        Figure("whole table: CPU of each supervisor", 1000 * mean(unpacking), "ms"),
        Figure("one change: bytes to each supervisor", mean(sizes) / 1024, "KiB"),
        Figure("one change: CPU of the registry, then of each supervisor", 1000 * mean(registry), "ms"),
        Figure("one change: CPU of each supervisor", 1000 * mean(supervisor), "ms"),
        Figure(
            f"one change: until the last of {size.supervisors} supervisors has it, all on one core",
            1000 * all_told,
            "ms",
        ),
    ]


def _rack(cluster: Cluster) -> list[Figure]:
    """A rack of 40 nodes is lost between two looks of the supervisors."""
    before = cluster.models.version
    took: list[float] = []
    with cpu_time(took):
        lost = cluster.lose({cluster.node_of(n) for n in range(_RACK_NODES)})
        packed = pickle.dumps(cluster.models.table(since=before), protocol=5)
    return [
        Figure(f"a rack of {_RACK_NODES} nodes: replicas lost", len(lost), ""),
        Figure("a rack: bytes to each supervisor", len(packed) / 1024, "KiB"),
        Figure("a rack: CPU of the registry", 1000 * took[0], "ms"),
    ]


def _routing(cluster: Cluster) -> list[Figure]:
    """Conversations of many users, over all supervisors, with as many streams at once as the cluster is to carry."""
    size, chance = cluster.size, cluster.random
    table = cluster.models.table()
    supervisors = [Balancer(chance=random.Random(number)) for number in range(size.supervisors)]
    exchange = _Exchange(supervisors)
    uids = list(table.models)
    weights = [1 / (rank + 10) for rank in range(len(uids))]
    running: deque[tuple[Balancer, ReplicaReport]] = deque()
    load: Counter[str] = Counter()
    known: dict[int, set[str]] = {}
    took: list[float] = []
    requests = 0
    # Supervisors that have had a request of a model before: the first one makes what later ones use.
    warm: set[tuple[int, str]] = set()
    hits = asked = possible = 0
    for conversation in range(size.streams // _SESSION_TURNS * 2):
        uid = chance.choices(uids, weights)[0]
        targets = table.models[uid].targets
        for turn in range(_SESSION_TURNS):
            key = _key(uid, conversation, turn)
            exchange.at(requests * _DURATION_S / size.streams)
            requests += 1
            number = chance.randrange(len(supervisors))
            balancer = supervisors[number]
            began = time.thread_time()
            chosen = balancer.begin(targets, _LIMIT, key)
            if (number, uid) in warm:
                took.append(time.thread_time() - began)
            warm.add((number, uid))
            load[chosen.replica] += 1
            running.append((balancer, chosen))
            for block in key.blocks:
                holders = known.setdefault(block, set())
                asked += 1
                possible += bool(holders)
                hits += chosen.replica in holders
                holders.add(chosen.replica)
            if len(running) > size.streams:
                ended, where = running.popleft()
                ended.end(where)
                load[where.replica] -= 1
    cuts = quantiles(took, n=100)
    told = mean(exchange.registry) if exchange.registry else 0.0
    spread = _spread(load, table)
    held = memory_of(lambda: _filled(table, uids, size.streams // size.supervisors))
    return [
        Figure(f"routing one request among {size.replicas_per_model} replicas: p50", 1e6 * cuts[49], "us"),
        Figure(f"routing one request among {size.replicas_per_model} replicas: p99", 1e6 * cuts[98], "us"),
        _one_model(1),
        _one_model(size.supervisors),
        Figure(f"one exchange of a supervisor, one of {size.supervisors}: CPU of the registry", 1000 * told, "ms"),
        Figure(
            "balance: the busiest replica of a model beside its mean, mean over the 100 busiest models", spread, "times"
        ),
        Figure("cache: blocks met where they had been, of those that an oracle would have met", hits / possible, ""),
        Figure("cache: blocks that an oracle would have met, of all", possible / asked, ""),
        Figure("one supervisor: memory of its balancer", held, "MiB"),
    ]


class _Exchange:
    """Has every supervisor report what it has in flight, and hear of the others, as often as it does in a cluster."""

    def __init__(self, supervisors: list[Balancer]) -> None:
        self._supervisors = supervisors
        self._loads = SupervisorLoads()
        self._period_s = exchange_period_s(len(supervisors))
        self._next = [self._period_s * number / len(supervisors) for number in range(len(supervisors))]
        self.registry: list[float] = []

    def at(self, now: float) -> None:
        """It is so many seconds after the beginning."""
        for number, balancer in enumerate(self._supervisors):
            if self._next[number] <= now:
                self._next[number] = now + self._period_s
                reported = balancer.all_in_flight()
                with cpu_time(self.registry):
                    packed = pickle.dumps(self._loads.exchange(str(number), reported, balancer.news(), now), protocol=5)
                balancer.hear(pickle.loads(packed), reported)


def _one_model(supervisors: int) -> Figure:
    """A model with 100 replicas among 10,000, for one of so many supervisors."""
    cluster = Cluster(Size(models=1, replicas_per_model=100))
    targets = cluster.models.table().models["model-0"].targets
    balancer = Balancer()
    balancer.hear(ClusterLoad(supervisors), {})
    running: deque[ReplicaReport] = deque()
    took: list[float] = []
    for number in range(5_000):
        key = _key("model-0", number // _SESSION_TURNS, number % _SESSION_TURNS)
        began = time.thread_time()
        chosen = balancer.begin(targets, _LIMIT, key)
        took.append(time.thread_time() - began)
        balancer.streams(chosen, 0.1)
        running.append(chosen)
        if len(running) > 1_000:
            balancer.end(running.popleft())
        if number % 100 == 0:
            own = balancer.all_in_flight()
            balancer.hear(ClusterLoad(supervisors, own), own)
    alone = "by the only supervisor" if supervisors == 1 else f"by one of {supervisors}"
    return Figure(f"routing one request among 100 replicas {alone}: p50", 1e6 * quantiles(took, n=100)[49], "us")


def _filled(table: ModelTable, uids: list[str], streams: int) -> Balancer:
    """One of several supervisors, with requests of all models."""
    balancer = Balancer()
    balancer.hear(ClusterLoad(2), {})
    for number in range(streams):
        uid = uids[number % len(uids)]
        balancer.begin(table.models[uid].targets, _LIMIT, _key(uid, number, 0))
    return balancer


def _key(uid: str, conversation: int, turn: int) -> PromptKey:
    """A system prompt that the model's users share, and then the conversation so far."""
    shared = tuple(hash((uid, block)) for block in range(_SHARED_BLOCKS))
    own = min(_PROMPT_BLOCKS - _SHARED_BLOCKS, _BLOCKS_PER_TURN * (turn + 1))
    blocks = (*shared, *(hash((uid, conversation, block)) for block in range(own)))
    return PromptKey(blocks, home=hash((uid, conversation)) & 0xFFFFFFFFFFFFFFFF, opening_blocks=_SHARED_BLOCKS + 1)


def _spread(load: Counter[str], table: ModelTable) -> float:
    ratios: list[tuple[float, float]] = []
    for model in table.models.values():
        counts = [load[report.replica] for report in model.targets]
        ratios.append((mean(counts), max(counts) / max(mean(counts), 1e-9)))
    ratios.sort(reverse=True)
    return mean(ratio for _, ratio in ratios[:100])


def _nodes(cluster: Cluster) -> list[Figure]:
    """``GET /v1/nodes``, without the JSON."""
    gpus = tuple(GpuReport(n, "NVIDIA H100", 80 * 1024**3, 1024**3, 50) for n in range(8))
    records = []
    reports = {}
    for number in range(cluster.size.nodes):
        node_id = f"{number:056x}"
        resources = {"CPU": 96.0, "GPU": 8.0}
        records.append(
            {"NodeID": node_id, "NodeManagerAddress": cluster.node_of(number), "Resources": resources, "Labels": {}}
        )
        reports[node_id] = NodeReport(
            node_id, f"host-{number}", "0.1.0", 96, 5.0, 10**12, 10**11, 10**12, 10**11, "ready", gpus
        )
    took: list[float] = []
    models = cluster.models.table().models
    for _ in range(3):
        with cpu_time(took):
            views(records, reports, set(), models.values(), head=cluster.node_of(0), now=cluster.now)
    return [Figure("GET /v1/nodes: CPU without the JSON", 1000 * min(took), "ms")]
