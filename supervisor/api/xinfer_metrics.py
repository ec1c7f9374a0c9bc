"""xinfer's own metrics, by Prometheus' conventions, as ``prometheus_client`` collects them at one moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import ray
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from supervisor.access.key_counter import KeyMetrics, key_metrics
from supervisor.api.prometheus import buckets
from xinfer import __version__
from xinfer.messages import (
    Histogram,
    ModelLife,
    ModelMetrics,
    ModelState,
    ModelStatus,
    ReplicaLoad,
    ReplicaStage,
)

_MODEL = ("model",)
_REPLICA = ("model", "replica", "node")
_STAGES = tuple(stage for stage in ReplicaStage if not stage.is_final)


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What is known of the whole cluster at one moment."""

    models: Mapping[str, ModelStatus]
    lives: Mapping[str, ModelLife] | None
    """None while the registry is away."""
    limit: int
    """Requests that each replica may have, unless its launch says otherwise."""
    nodes: int
    certificate_ends_at: float | None = None
    """Unix time; None without TLS."""


class XinferMetrics(Collector):
    """Every label value is a UID, a replica or a node of the registry's, or a word of ours; none comes from a request.

    ``requests`` and ``keys`` are what one supervisor has counted, or the sums over all of them.
    """

    def __init__(
        self, cluster: ClusterFacts, requests: Mapping[str, ModelMetrics], keys: KeyMetrics | None = None
    ) -> None:
        self._cluster = cluster
        self._models = cluster.models
        self._keys = keys
        self._requests = {uid: requests.get(uid) or ModelMetrics() for uid in cluster.models}

    def collect(self) -> Iterator[Metric]:
        """All of them, as ``prometheus_client`` asks for them."""
        yield from self._counters()
        yield from self._times()
        yield from self._replica_loads()
        if self._keys is not None:
            yield from key_metrics(self._keys)
        yield from self._states()
        # Counters that showed zero for a moment would seem to have risen by all that they count when they are back.
        if self._cluster.lives is not None:
            yield from self._launches(self._cluster.lives)
        build = GaugeMetricFamily("xinfer_build_info", "1; the versions are labels.", labels=("version", "ray_version"))
        build.add_metric([__version__, ray.__version__], 1)
        yield build
        yield GaugeMetricFamily("xinfer_nodes", "Nodes that are alive.", self._cluster.nodes)
        if self._cluster.certificate_ends_at is not None:
            yield GaugeMetricFamily(
                "xinfer_certificate_expiry_timestamp_seconds",
                "When the REST API's certificate ends, as Unix time.",
                self._cluster.certificate_ends_at,
            )

    def _counters(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "xinfer_requests", "Requests that have ended, by how they did.", labels=("model", "outcome")
        )
        in_flight = GaugeMetricFamily("xinfer_requests_in_flight", "Requests under way.", labels=_MODEL)
        retries = CounterMetricFamily(
            "xinfer_request_retries", "Requests sent once more because a replica was lost.", labels=_MODEL
        )
        resumed = CounterMetricFamily(
            "xinfer_streams_resumed", "Streams that another replica has gone on with.", labels=_MODEL
        )
        decisions = CounterMetricFamily(
            "xinfer_routing_decisions", "Choices of a replica, by reason.", labels=("model", "reason")
        )
        blocks = CounterMetricFamily(
            "xinfer_prompt_blocks", "Blocks of 256 bytes of prompts that replicas were compared by.", labels=_MODEL
        )
        known = CounterMetricFamily(
            "xinfer_prompt_blocks_known", "Those of them that the chosen replica had been sent before.", labels=_MODEL
        )
        for uid, counted in self._requests.items():
            for outcome, count in counted.outcomes.items():
                requests.add_metric([uid, outcome], count)
            for reason, count in counted.routing.reasons.items():
                decisions.add_metric([uid, reason], count)
            in_flight.add_metric([uid], counted.in_flight)
            retries.add_metric([uid], counted.retries)
            resumed.add_metric([uid], counted.resumed)
            blocks.add_metric([uid], counted.routing.blocks)
            known.add_metric([uid], counted.routing.known_blocks)
        yield from (requests, in_flight, retries, resumed, decisions, blocks, known)

    def _times(self) -> Iterator[Metric]:
        yield self._spread(
            "xinfer_request_duration_seconds",
            "From the request to the end of its response.",
            {uid: counted.duration for uid, counted in self._requests.items()},
        )
        yield self._spread(
            "xinfer_time_to_first_token_seconds",
            "From the request to the first token; streams only.",
            {uid: counted.time_to_first_token for uid, counted in self._requests.items()},
        )
        yield self._spread(
            "xinfer_time_to_response_seconds",
            "From the request to the first byte of the engine's response, streamed or not.",
            {uid: counted.time_to_response for uid, counted in self._requests.items()},
        )
        yield self._spread(
            "xinfer_inter_token_latency_seconds",
            "Between two chunks of a stream as they come from the engine; a chunk has one token unless somebody lags.",
            {uid: counted.inter_token for uid, counted in self._requests.items()},
        )
        yield self._spread(
            "xinfer_wake_wait_seconds",
            "What requests have waited for a sleeping model; the gateway has no other queue.",
            {uid: counted.wake_wait for uid, counted in self._requests.items()},
        )

    def _spread(self, name: str, text: str, spreads: Mapping[str, Histogram]) -> Metric:
        family = HistogramMetricFamily(name, text, labels=_MODEL)
        for uid, spread in spreads.items():
            family.add_metric([uid], buckets(spread), spread.total)
        return family

    def _replica_loads(self) -> Iterator[Metric]:
        sent = CounterMetricFamily("xinfer_replica_requests", "Requests sent to each replica.", labels=_REPLICA)
        in_flight = GaugeMetricFamily("xinfer_replica_requests_in_flight", "Requests under way there.", labels=_REPLICA)
        for uid, counted in self._requests.items():
            for target in self._models[uid].targets:
                load = counted.replicas.get(target.replica, ReplicaLoad())
                labels = [uid, target.replica, target.node]
                sent.add_metric(labels, load.requests)
                in_flight.add_metric(labels, load.in_flight)
        yield from (sent, in_flight)

    def _states(self) -> Iterator[Metric]:
        state = GaugeMetricFamily("xinfer_model_state", "1 for the state it is in.", labels=("model", "state"))
        wanted = GaugeMetricFamily("xinfer_model_replicas_wanted", "Replicas that it should have.", labels=_MODEL)
        replicas = GaugeMetricFamily("xinfer_model_replicas", "Its replicas, by stage.", labels=("model", "stage"))
        limit = GaugeMetricFamily(
            "xinfer_model_request_limit", "Requests that all its replicas may have at once.", labels=_MODEL
        )
        for uid, model in self._models.items():
            for each in ModelState:
                state.add_metric([uid, each.lower()], model.state is each)
            for stage in _STAGES:
                replicas.add_metric([uid, stage], sum(report.stage is stage for report in model.replicas))
            wanted.add_metric([uid], model.desired)
            limit.add_metric([uid], (model.spec.request_limits or self._cluster.limit) * len(model.targets))
        yield from (state, wanted, replicas, limit)

    def _launches(self, lives: Mapping[str, ModelLife]) -> Iterator[Metric]:
        launches = CounterMetricFamily("xinfer_launches", "Launches, by how they ended.", labels=("model", "outcome"))
        stages = HistogramMetricFamily(
            "xinfer_launch_stage_duration_seconds",
            "What replicas have spent in each stage on their way up.",
            labels=("model", "stage"),
        )
        sleeps = CounterMetricFamily("xinfer_model_sleeps", "How often it went to sleep.", labels=_MODEL)
        wakes = CounterMetricFamily("xinfer_model_wakes", "How often a request woke it.", labels=_MODEL)
        scalings = CounterMetricFamily(
            "xinfer_model_scalings", "Changes of its number of replicas.", labels=("model", "direction")
        )
        ends = CounterMetricFamily("xinfer_replica_ends", "Replicas that ended.", labels=("model", "reason"))
        for uid in self._models:
            life = lives.get(uid) or ModelLife()
            for outcome, count in life.launches.items():
                launches.add_metric([uid, outcome], count)
            for stage, spread in life.stages.items():
                stages.add_metric([uid, stage], buckets(spread), spread.total)
            for reason, count in life.replica_ends.items():
                ends.add_metric([uid, reason], count)
            sleeps.add_metric([uid], life.sleeps)
            wakes.add_metric([uid], life.wakes)
            scalings.add_metric([uid, "up"], life.scaled_up)
            scalings.add_metric([uid, "down"], life.scaled_down)
        yield from (launches, stages, sleeps, wakes, scalings, ends)
