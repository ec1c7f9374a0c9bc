"""What is counted, that it costs next to nothing, and how it is shown."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from supervisor.api.prometheus import Figures
from supervisor.gateway.request_body import ClientGone
from supervisor.gateway.request_metrics import RequestMetrics
from supervisor.registry.cluster_metrics import ClusterMetrics
from tests.supervisor.completions import chat
from tests.supervisor.samples import model_status, report, times
from tests.supervisor.servers import RegistryDouble, dead_replica, fake_engine
from xinfer.errors import BadRequest, EngineLost, ModelOverloaded, XinferError
from xinfer.messages import (
    STAGE_BOUNDS_S,
    Histogram,
    LaunchOutcome,
    ModelLife,
    ModelMetrics,
    Outcome,
    ReplicaEnd,
    ReplicaLoad,
    RoutingReason,
)
from xinfer.messages.metrics import INTER_TOKEN_BOUNDS_S


def ended(error: Exception | None = None, *, broken: bool = False) -> ModelMetrics:
    """The tally after one request that ended like this."""
    tallies = RequestMetrics()
    with contextlib.suppress(XinferError), tallies.count("m") as counted:
        counted.broken = broken
        if error:
            raise error
    return tallies.snapshot({"m": model_status()})["m"]


@pytest.mark.parametrize(
    ("error", "broken", "errors"),
    [
        (None, False, 0),
        (None, True, 1),
        (EngineLost("gone"), False, 1),
        (ModelOverloaded("full"), False, 1),
        (BadRequest("temperature"), False, 0),
    ],
)
def test_how_a_request_ends(error: Exception | None, broken: bool, errors: int) -> None:
    tally = ended(error, broken=broken)
    assert (tally.requests, tally.errors, tally.in_flight, sum(tally.duration.counts)) == (1, errors, 0, 1)


def test_models_that_are_gone_are_forgotten() -> None:
    tallies = RequestMetrics()
    with tallies.count("gone"), tallies.count("m"):
        assert set(tallies.snapshot({"m": model_status()})) == {"m"}
    assert tallies.snapshot({"m": model_status()})["m"].requests == 1
    assert tallies.snapshot({"gone": model_status(uid="gone")}) == {}, "it is another model by now"


def test_supervisors_add_up_and_one_that_is_gone_has_nothing_under_way() -> None:
    totals = ClusterMetrics(silent_s=15)
    totals.on_report("a", {"m": ModelMetrics(requests=3, errors=1, in_flight=2)}, 0.0)
    totals.on_report("b", {"m": ModelMetrics(requests=4, in_flight=1), "n": ModelMetrics(requests=1)}, 10.0)
    totals.on_report("b", {"m": ModelMetrics(requests=5, in_flight=1), "n": ModelMetrics(requests=1)}, 20.0)
    sums = totals.sums(20.0)
    assert (sums["m"].requests, sums["m"].errors, sums["m"].in_flight, sums["n"].requests) == (8, 1, 1, 1)


def test_counting_costs_a_request_a_few_microseconds(figures: list[str]) -> None:
    """Without its line in the log."""
    tallies, rounds = RequestMetrics(), 20_000
    best = 1.0
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(rounds):
            with tallies.count("m") as counted:
                counted.responded(streams=True)
        best = min(best, (time.perf_counter() - began) / rounds)
    figures.append(f"counting one request: {best * 1e6:.1f} microseconds")
    assert best < 50e-6


def test_counting_a_chunk_costs_less_than_a_microsecond(figures: list[str]) -> None:
    """What a chunk of a stream costs beyond passing it on."""
    observe, rounds = Histogram(INTER_TOKEN_BOUNDS_S).observe, 50_000
    best = 1.0
    for _ in range(10):
        began = time.perf_counter()
        for _ in range(rounds):
            observe(0.02)
        best = min(best, (time.perf_counter() - began) / rounds)
    figures.append(f"counting one chunk: {best * 1e6:.2f} microseconds")
    assert best < 1e-6


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, Outcome.OK),
        (BadRequest("temperature"), Outcome.REFUSED),
        (ModelOverloaded("full"), Outcome.OVERLOADED),
        (EngineLost("gone"), Outcome.FAILED),
        (RuntimeError("a bug"), Outcome.FAILED),
        (ClientGone(), Outcome.CANCELLED),
        (asyncio.CancelledError(), Outcome.CANCELLED),
    ],
)
def test_outcome(error: BaseException | None, outcome: Outcome) -> None:
    tallies = RequestMetrics()
    with contextlib.suppress(BaseException), tallies.count("m"):
        if error:
            raise error
    counts = tallies.snapshot({"m": model_status()})["m"].outcomes
    assert counts == {**dict.fromkeys(Outcome, 0), outcome: 1}


def test_stream_that_breaks_off_is_broken() -> None:
    assert ended(broken=True).outcomes[Outcome.BROKEN] == 1


def test_all_counts_add_up() -> None:
    """Those of two supervisors, field by field; one that is left out of ``add`` would show the first one's."""
    mine, other = ModelMetrics(), ModelMetrics()
    for metrics in (mine, other):
        metrics.outcomes[Outcome.OK] = 2
        metrics.retries = 3
        metrics.inter_token.observe(0.02)
        metrics.wake_wait.observe(1.0)
        metrics.routing.reasons[RoutingReason.PREFIX] = 4
        metrics.routing.blocks = 5
        metrics.routing.known_blocks = 6
    mine.add(other)
    assert (mine.outcomes[Outcome.OK], mine.retries) == (4, 6)
    assert (sum(mine.inter_token.counts), sum(mine.wake_wait.counts)) == (2, 2)
    routing = mine.routing
    assert (routing.reasons[RoutingReason.PREFIX], routing.blocks, routing.known_blocks) == (8, 10, 12)


def test_what_replicas_get_from_all_supervisors() -> None:
    """One that is gone has nothing under way there any more."""
    totals = ClusterMetrics(silent_s=15)
    totals.on_report("a", {"m": ModelMetrics(resumed=1, replicas={"r1": ReplicaLoad(3, 2)})}, 0.0)
    loads = {"r1": ReplicaLoad(4, 1), "r2": ReplicaLoad(1, 1)}
    totals.on_report("b", {"m": ModelMetrics(resumed=2, replicas=loads)}, 10.0)
    assert totals.sums(10.0)["m"].replicas == {"r1": ReplicaLoad(7, 3), "r2": ReplicaLoad(1, 1)}
    assert totals.sums(20.0)["m"].replicas == {"r1": ReplicaLoad(7, 1), "r2": ReplicaLoad(1, 1)}
    assert totals.sums(20.0)["m"].resumed == 3


def samples(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


async def test_page(http: httpx.AsyncClient, registry: RegistryDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """From requests to what Prometheus reads."""
    monkeypatch.setattr("supervisor.api.metrics.ray.nodes", lambda: [{"Alive": True}, {"Alive": False}])
    totals = ClusterMetrics()

    async def exchange_metrics(supervisor: str, tallies: dict[str, ModelMetrics]) -> dict[str, ModelMetrics]:
        totals.on_report(supervisor, tallies, 0.0)
        return totals.sums(0.0)

    monkeypatch.setattr(registry, "exchange_metrics", exchange_metrics)
    async with fake_engine(tokens=2) as replica:
        placed = replace(replica, node="10.0.0.1", gpu_ids=("3",))
        await registry.tell(model_status(placed, times=times(pending=1.0, ready=3.5), request_limits=7))
        assert (await http.post("/v1/chat/completions", json=chat("Hi"))).status_code == 200
        assert (await http.post("/v1/chat/completions", json=chat("!error"))).status_code == 500
        answer = await http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found = samples(answer.text)
    model = {
        "model_uid": "m",
        "model_name": "family",
        "model_type": "LLM",
        "engine": "vLLM",
        "format": "pytorch",
        "quantization": "none",
    }
    for name, value in {
        "model_request_total": 2,
        "model_request_errors_total": 1,
        "model_streams_resumed_total": 0,
        "model_serve_count": 0,
        "model_request_duration_seconds_count": 2,
        "time_to_first_token_seconds_count": 0,
        "time_to_response_seconds_count": 2,
        "model_info": 1,
        "model_request_limit": 7,
        "model_last_load_duration_seconds": 2.5,
    }.items():
        assert found[f"xinference:{name}"] == [(model, value)], name
    assert found["xinference:model_status"] == [({**model, "status": "READY"}, 1)]
    where = {"replica": replica.replica, "worker_address": "10.0.0.1"}
    assert found["xinference:replica_request_total"] == [({**model, **where}, 2)]
    assert found["xinference:replica_serve_count"] == [({**model, **where}, 0)]
    gpu = {"replica_index": "0", "worker_address": "10.0.0.1", "gpu_index": "3"}
    assert found["xinference:model_gpu_binding"] == [({**model, **gpu}, 1)]
    assert found["xinference:workers_total"] == [({}, 1)]
    assert found["xinference:models_loaded_total"] == [({}, 1)]
    buckets = [value for _, value in found["xinference:model_request_duration_seconds_bucket"]]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 2


async def test_page_of_one_supervisor(
    http: httpx.AsyncClient, registry: RegistryDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What this one has counted, whatever others have; and what the registry has."""
    monkeypatch.setattr("supervisor.api.metrics.ray.nodes", lambda: [{"Alive": True}])
    registry.answers["exchange_metrics"] = {"m": ModelMetrics(requests=100)}
    life = ModelLife(sleeps=2, wakes=1, scaled_up=1)
    life.launches[LaunchOutcome.READY] = 1
    life.replica_ends[ReplicaEnd.LOST] = 3
    life.stages["loading"] = Histogram(STAGE_BOUNDS_S)
    life.stages["loading"].observe(7.0)
    registry.answers["model_lives"] = {"m": life, "ghost": ModelLife()}
    async with fake_engine(tokens=4, gap_s=0.01) as first, fake_engine(tokens=4, gap_s=0.01) as second:
        replicas = [replace(each, node="10.0.0.1") for each in (first, second)]
        await registry.tell_replicas(*replicas, replicas=3)
        body = chat("long " * 200, stream=True)
        for _ in range(2):
            assert (await http.post("/v1/chat/completions", json=body)).status_code == 200
        await http.post("/v1/chat/completions", json=chat("!error"))
        found = samples((await http.get("/metrics/supervisor")).text)

    def value(name: str, **labels: str) -> float:
        (only,) = [each for has, each in found[f"xinfer_{name}"] if labels.items() <= has.items()]
        return only

    assert value("requests_total", model="m", outcome="ok") == 2
    assert value("requests_total", model="m", outcome="failed") == 1
    assert value("time_to_first_token_seconds_count") == 2
    assert value("time_to_response_seconds_count") == 3
    assert value("inter_token_latency_seconds_count") >= 4
    assert 0.005 < value("inter_token_latency_seconds_sum") / value("inter_token_latency_seconds_count") < 1
    assert value("routing_decisions_total", reason="prefix") == 1
    assert value("routing_decisions_total", reason="least_busy") == 2
    assert value("prompt_blocks_known_total") == value("prompt_blocks_total") / 2 > 0
    assert sum(each for _, each in found["xinfer_replica_requests_total"]) == 3
    assert value("model_replicas", stage="ready") == 2
    assert value("model_replicas_wanted") == 3
    assert {has["state"] for has, each in found["xinfer_model_state"] if each} == {"ready"}
    assert value("launches_total", outcome="ready") == 1
    assert value("launch_stage_duration_seconds_sum", stage="loading") == 7
    assert (value("model_sleeps_total"), value("model_wakes_total")) == (2, 1)
    assert value("model_scalings_total", direction="up") == 1
    assert value("replica_ends_total", reason="lost") == 3
    assert value("nodes") == 1
    assert found["process_cpu_seconds_total"]
    assert "ghost" not in {label for family in found.values() for has, _ in family for label in has.values()}


async def test_page_while_the_registry_is_away(
    http: httpx.AsyncClient, registry: RegistryDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its counters are missing, and not zero: back again, they would seem to have risen."""
    monkeypatch.setattr("supervisor.api.metrics.ray.nodes", list)
    await registry.tell_replicas(report())
    registry.away = True
    page = await http.get("/metrics/supervisor")
    found = samples(page.text)
    assert page.status_code == 200
    assert found["xinfer_requests_total"]
    assert "xinfer_launches_total" not in found
    assert "xinfer_replica_ends_total" not in found


async def test_retries_are_counted(
    http: httpx.AsyncClient, registry: RegistryDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisor.api.metrics.ray.nodes", list)
    async with fake_engine() as replica:
        await registry.tell_replicas(dead_replica(), replica, replicas=2)
        for _ in range(2):
            assert (await http.post("/v1/chat/completions", json=chat("Hi"))).status_code == 200
        text = (await http.get("/metrics/supervisor")).text
    assert samples(text)["xinfer_request_retries_total"] == [({"model": "m"}, 1)]


async def test_load_is_what_all_supervisors_have_in_flight(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    registry.answers["exchange_metrics"] = {}
    assert (await http.get("/load")).json() == {"server_load": 0}
    registry.answers["exchange_metrics"] = {"m": ModelMetrics(in_flight=2), "n": ModelMetrics(requests=9, in_flight=1)}
    assert (await http.get("/load")).json() == {"server_load": 3}


async def test_strangers_make_no_labels(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    await registry.tell_replicas(dead_replica())
    for uid in ("m", "ghost", 'x"} 1'):
        await http.post("/v1/chat/completions", json=chat("Hi", model=uid))
    figures = Figures({"m": model_status()}, {"ghost": ModelMetrics(requests=1)}, 1, 1, 1.0)
    labels = {value for family in figures.collect() for sample in family.samples for value in sample.labels.values()}
    assert "ghost" not in labels


async def test_where_the_engines_are(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    await registry.tell(
        model_status(report("r1", address="http://10.0.0.1:80"), report("r2", address="http://10.0.0.2:81"))
    )
    targets = (await http.get("/metrics/engines")).json()
    assert [(each["targets"], each["labels"]["replica_index"]) for each in targets] == [
        (["10.0.0.1:80"], "0"),
        (["10.0.0.2:81"], "1"),
    ]


def test_replicas_by_what_they_do() -> None:
    model = replace(model_status(report(), report("r2"), replicas=4), leaving=("r2",), departing=1)
    found: dict[str, float] = {}
    for family in Figures({"m": model}, {}, 1, 1, 1.0).collect():
        if family.name == "xinference:model_replicas":
            found = {sample.labels["state"]: sample.value for sample in family.samples}
    assert found == {"desired": 3, "ready": 1, "starting": 2, "leaving": 1}
