"""What is known of models at one moment, as ``prometheus_client`` collects it, under Xinference's names where they fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from supervisor.api import render
from xinfer.messages import Histogram, ModelMetrics, ModelStatus, ReplicaLoad, ReplicaStage

_PREFIX = "xinference:"
_MODEL = ("model_uid", "model_name", "model_type", "engine", "format", "quantization")


class Figures(Collector):
    """What there is to show at one moment. Labels come from the registry's records, never from a request."""

    def __init__(
        self,
        models: Mapping[str, ModelStatus],
        sums: Mapping[str, ModelMetrics],
        limit: int,
        workers: int,
        uptime_s: float,
    ) -> None:
        self._table = models
        self._limit = limit
        self._workers = workers
        self._uptime_s = uptime_s
        self._sums = {uid: sums.get(uid, ModelMetrics()) for uid in models}

    def collect(self) -> Iterator[Metric]:
        """All of them, as ``prometheus_client`` asks for them."""
        yield GaugeMetricFamily(_PREFIX + "supervisor_uptime_seconds", "Of this supervisor.", self._uptime_s)
        yield GaugeMetricFamily(_PREFIX + "workers_total", "Nodes that are alive.", self._workers)
        yield from self._requests()
        yield from self._replicas()
        yield from self._models()

    def _requests(self) -> Iterator[Metric]:
        total = CounterMetricFamily(_PREFIX + "model_request", "Requests that have ended.", labels=_MODEL)
        errors = CounterMetricFamily(
            _PREFIX + "model_request_errors", "Those not answered through no fault of the caller's.", labels=_MODEL
        )
        resumed = CounterMetricFamily(
            _PREFIX + "model_streams_resumed", "Streams that another replica has gone on with.", labels=_MODEL
        )
        serving = GaugeMetricFamily(_PREFIX + "model_serve_count", "Requests under way.", labels=_MODEL)
        duration = HistogramMetricFamily(
            _PREFIX + "model_request_duration_seconds", "Until the end of the answer.", labels=_MODEL
        )
        first = HistogramMetricFamily(
            _PREFIX + "time_to_first_token_seconds", "Until the first token of a stream.", labels=_MODEL
        )
        response = HistogramMetricFamily(
            _PREFIX + "time_to_response_seconds", "Until the engine's response began.", labels=_MODEL
        )
        for uid, tally in self._sums.items():
            labels = _labels(self._table[uid])
            total.add_metric(labels, tally.requests)
            errors.add_metric(labels, tally.errors)
            resumed.add_metric(labels, tally.resumed)
            serving.add_metric(labels, tally.in_flight)
            duration.add_metric(labels, buckets(tally.duration), tally.duration.total)
            first.add_metric(labels, buckets(tally.time_to_first_token), tally.time_to_first_token.total)
            response.add_metric(labels, buckets(tally.time_to_response), tally.time_to_response.total)
        yield from (total, errors, resumed, serving, duration, first, response)

    def _replicas(self) -> Iterator[Metric]:
        labels = (*_MODEL, "replica", "worker_address")
        sent = CounterMetricFamily(_PREFIX + "replica_request", "Requests sent to each replica.", labels=labels)
        serving = GaugeMetricFamily(_PREFIX + "replica_serve_count", "Requests under way there.", labels=labels)
        for uid, metrics in self._sums.items():
            model = self._table[uid]
            known = _labels(model)
            for target in model.targets:
                load = metrics.replicas.get(target.replica, ReplicaLoad())
                values = [*known, target.replica, target.node]
                sent.add_metric(values, load.requests)
                serving.add_metric(values, load.in_flight)
        yield from (sent, serving)

    def _models(self) -> Iterator[Metric]:
        loaded = sum(model.is_served for model in self._table.values())
        yield GaugeMetricFamily(_PREFIX + "models_loaded_total", "Models that answer, asleep or awake.", loaded)
        info = GaugeMetricFamily(_PREFIX + "model_info", "1 for each model.", labels=_MODEL)
        status = GaugeMetricFamily(_PREFIX + "model_status", "1 for the state it is in.", labels=(*_MODEL, "status"))
        limit = GaugeMetricFamily(
            _PREFIX + "model_request_limit", "Requests that all its replicas may have at once.", labels=_MODEL
        )
        load = GaugeMetricFamily(
            _PREFIX + "model_last_load_duration_seconds", "From the launch to the last replica's answer.", labels=_MODEL
        )
        bound = GaugeMetricFamily(
            _PREFIX + "model_gpu_binding",
            "1 for each GPU of each replica.",
            labels=(*_MODEL, "replica_index", "worker_address", "gpu_index"),
        )
        wanted = GaugeMetricFamily(
            _PREFIX + "model_replicas",
            "Replicas that are desired, take requests, are on their way up, and finish what they have.",
            labels=(*_MODEL, "state"),
        )
        for model in self._table.values():
            labels = _labels(model)
            for kind, count in _replicas_by_state(model).items():
                wanted.add_metric([*labels, kind], count)
            info.add_metric(labels, 1)
            status.add_metric([*labels, render.status(model)], 1)
            limit.add_metric(labels, (model.spec.request_limits or self._limit) * len(model.targets))
            seconds = _load_s(model)
            if seconds is not None:
                load.add_metric(labels, seconds)
            for number, replica in enumerate(model.replicas):
                for gpu in replica.gpu_ids:
                    bound.add_metric([*labels, str(number), replica.node, gpu], 1)
        yield from (info, status, limit, load, bound, wanted)


def _replicas_by_state(model: ModelStatus) -> dict[str, int]:
    if not model.is_served or model.is_asleep:
        return {"desired": 0, "ready": 0, "starting": 0, "leaving": 0}
    ready = len(model.targets)
    starting = max(0, model.desired - ready)
    return {"desired": model.desired, "ready": ready, "starting": starting, "leaving": len(model.leaving)}


def _labels(model: ModelStatus) -> list[str]:
    spec = model.spec
    return [spec.uid, spec.name, "LLM", render.engine_name(spec), spec.format, spec.quantization or "none"]


def buckets(spread: Histogram) -> list[tuple[str, float]]:
    """Prometheus counts in each bucket what is in the smaller ones as well."""
    bounds = [*map(str, spread.bounds), "+Inf"]
    return [(bound, sum(spread.counts[: number + 1])) for number, bound in enumerate(bounds)]


def _load_s(model: ModelStatus) -> float | None:
    began = {time.stage: time.began_at for time in model.times}
    if ReplicaStage.PENDING not in began or ReplicaStage.READY not in began:
        return None
    return max(0.0, began[ReplicaStage.READY] - began[ReplicaStage.PENDING])
