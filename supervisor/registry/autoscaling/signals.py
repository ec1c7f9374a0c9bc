"""The load of all models, put together from what supervisors and engines report. A plain class without Ray or clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from supervisor.registry.autoscaling.load import Load
from xinfer.messages import EngineLoad, ModelStatus, ReplicaStage, SupervisorLoad
from xinfer.messages.metrics import FIRST_TOKEN_BOUNDS_S

_NOTHING = SupervisorLoad()
# Supervisors report twice a second and engines once; one that is late may be busy, and one that is silent is gone.
_SUPERVISOR_LATE_S = 3.0
_ENGINE_LATE_S = 6.0
_GONE_S = 15.0
_TTFT_WINDOW_S = 10.0
_RATE_WINDOW_S = 5.0
_REFUSED_WINDOW_S = 1.5
_QUANTILE = 0.9


@dataclass(slots=True)
class _Supervisor:
    heard_at: float
    version: int = 0
    reported_at: float = -_GONE_S
    loads: Mapping[str, SupervisorLoad] = field(default_factory=dict)
    past: dict[str, deque[tuple[float, SupervisorLoad]]] = field(default_factory=dict)
    """By model, the reports of the last seconds, oldest first."""


class Signals:
    """Times are seconds of any clock that does not go back."""

    def __init__(self) -> None:
        self._supervisors: dict[str, _Supervisor] = {}
        self._engines: dict[str, dict[str, tuple[float, EngineLoad]]] = {}
        self._waiting_since: dict[str, float] = {}

    def hear(self, supervisor: str, now: float) -> None:
        """This supervisor is there."""
        self._supervisors.setdefault(supervisor, _Supervisor(now)).heard_at = now

    def on_supervisor(self, supervisor: str, version: int, loads: Mapping[str, SupervisorLoad], now: float) -> None:
        """A supervisor acts on the table of ``version``, and has this to do."""
        self.hear(supervisor, now)
        known = self._supervisors[supervisor]
        known.version = version
        known.reported_at = now
        known.loads = loads
        known.past = {uid: known.past.get(uid, deque()) for uid in loads}
        for uid, load in loads.items():
            past = known.past[uid]
            past.append((now, load))
            while past[0][0] < now - _TTFT_WINDOW_S:
                past.popleft()

    def on_engine(self, uid: str, replica: str, load: EngineLoad, now: float) -> None:
        """An engine says how busy it is."""
        self._engines.setdefault(uid, {})[replica] = (now, load)

    def keep_only(self, models: Mapping[str, ModelStatus], now: float) -> None:
        """Forget supervisors, models and replicas that are gone."""
        self._supervisors = {name: each for name, each in self._supervisors.items() if now - each.heard_at < _GONE_S}
        engines: dict[str, dict[str, tuple[float, EngineLoad]]] = {}
        for uid, loads in self._engines.items():
            if uid in models:
                there = {report.replica for report in models[uid].replicas}
                engines[uid] = {name: each for name, each in loads.items() if name in there}
        self._engines = engines
        self._waiting_since = {uid: since for uid, since in self._waiting_since.items() if uid in models}

    def nobody_uses(self, uid: str, replica: str, version: int) -> bool:
        """Whether every supervisor acts on a table of ``version`` or later and has no request under way at this replica."""
        for each in self._supervisors.values():
            busy = each.loads.get(uid, _NOTHING).replicas.get(replica, 0)
            if each.version < version or busy:
                return False
        return True

    def leaving_order(self, model: ModelStatus, counted: Mapping[str, int] | None = None) -> list[str]:
        """The replicas that take requests, those first whose end costs least.

        That is the fewest requests in flight, then the smallest part of its KV cache in use, then the youngest one, which
        knows the fewest prompts. ``counted`` has what is in flight at each as far as known otherwise, for a model whose load is
        not reported.
        """
        uid = model.spec.uid
        known = [each.loads[uid].replicas for each in self._supervisors.values() if uid in each.loads]
        if not known and counted:
            known = [counted]

        def cost(replica: str, created_at: float) -> tuple[int, float, float]:
            in_flight = sum(replicas.get(replica, 0) for replicas in known)
            _, engine = self._engines.get(uid, {}).get(replica, (0.0, EngineLoad()))
            return max(in_flight, engine.running + engine.waiting), engine.kv_cache_usage, -created_at

        ordered = sorted(model.targets, key=lambda report: cost(report.replica, report.created_at))
        return [report.replica for report in ordered]

    def load(self, model: ModelStatus, now: float) -> Load:
        """The model's load by the latest reports."""
        uid = model.spec.uid
        ready = {report.replica for report in model.targets}
        starting = [r for r in model.replicas if not r.stage.is_final and r.stage is not ReplicaStage.READY]
        heard = self._engines.get(uid, {})
        engines = [load for name, (at, load) in heard.items() if name in ready and now - at <= _ENGINE_LATE_S]
        full = [engine for engine in engines if engine.waiting]
        waiting = sum(engine.waiting for engine in full) + self._refused(uid, now)
        if waiting:
            waited_s = now - self._waiting_since.setdefault(uid, now)
        else:
            self._waiting_since.pop(uid, None)
            waited_s = 0.0

        loads = [each.loads[uid] for each in self._supervisors.values() if uid in each.loads]
        oldest_s = max((load.oldest_unanswered_s for load in loads), default=0.0)
        supervisors_heard = all(now - s.reported_at <= _SUPERVISOR_LATE_S for s in self._supervisors.values())
        return Load(
            desired=model.desired,
            ready=len(ready),
            # Replicas that Ray has found no place for yet have not reported.
            starting=max(len(starting), model.desired - len(ready), 0),
            in_flight=sum(load.in_flight for load in loads),
            running=sum(engine.running for engine in engines),
            waiting=waiting,
            full=len(full),
            running_in_full=sum(engine.running for engine in full),
            # A response that is not streamed is unanswered until its end: only a queue tells that it waits.
            oldest_wait_s=min(oldest_s, waited_s),
            kv_cache_usage=sum(engine.kv_cache_usage for engine in engines),
            arrivals_per_s=self._arrivals_per_s(uid, now),
            ttft_p90_s=self._ttft_p90_s(uid),
            is_whole=bool(self._supervisors) and supervisors_heard and len(engines) == len(ready),
        )

    def _refused(self, uid: str, now: float) -> int:
        refused = 0
        for past in self._past(uid):
            lately = [load.refused for at, load in past if now - at <= _REFUSED_WINDOW_S]
            if len(lately) > 1:
                refused += lately[-1] - lately[0]
        return refused

    def _arrivals_per_s(self, uid: str, now: float) -> float:
        rate = 0.0
        for past in self._past(uid):
            lately = [(at, load.arrived) for at, load in past if now - at <= _RATE_WINDOW_S]
            if len(lately) > 1 and lately[-1][0] > lately[0][0]:
                rate += (lately[-1][1] - lately[0][1]) / (lately[-1][0] - lately[0][0])
        return rate

    def _ttft_p90_s(self, uid: str) -> float | None:
        counts = [0] * (len(FIRST_TOKEN_BOUNDS_S) + 1)
        for past in self._past(uid):
            first, last = past[0][1].first_tokens, past[-1][1].first_tokens
            if len(last) != len(counts):
                continue
            for number, count in enumerate(last):
                counts[number] += count - (first[number] if len(first) == len(counts) else 0)
        return quantile_s(counts, _QUANTILE)

    def _past(self, uid: str) -> list[deque[tuple[float, SupervisorLoad]]]:
        return [each.past[uid] for each in self._supervisors.values() if each.past.get(uid)]


def quantile_s(counts: list[int], share: float) -> float | None:
    """The value below which ``share`` of a histogram of times to the first token lies, as Prometheus estimates it."""
    total = sum(counts)
    if total <= 0:
        return None
    rank = share * total
    below = 0.0
    for number, bound in enumerate(FIRST_TOKEN_BOUNDS_S):
        if counts[number] and below + counts[number] >= rank:
            lower = FIRST_TOKEN_BOUNDS_S[number - 1] if number else 0.0
            return lower + (bound - lower) * (rank - below) / counts[number]
        below += counts[number]
    return FIRST_TOKEN_BOUNDS_S[-1]
