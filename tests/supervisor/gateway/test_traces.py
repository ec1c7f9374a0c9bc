"""The spans of requests, as a collector gets them from a supervisor with an engine behind it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import httpx
import pytest

from supervisor.gateway.exchange import Exchange
from supervisor.gateway.request_line import RequestLine
from supervisor.gateway.request_trace import UNTRACED, NoTraces, make_traces
from tests.conftest import ROOT
from tests.observability.collector import Collector, Span, collecting
from tests.supervisor.completions import chat
from tests.supervisor.engines import Scripted
from tests.supervisor.samples import report
from tests.supervisor.servers import RegistryDouble, dead_replica, fake_engine, serving
from tests.waiting import eventually

PATH = "/v1/chat/completions"
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
STAGES = ["receive", "translate", "route", "first byte", "response"]
Gateway = Callable[..., httpx.AsyncClient]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as collector:
        for name, value in collector.environment().items():
            monkeypatch.setenv(name, value)
        yield collector


async def whole(collector: Collector, count: int = 1) -> list[Span]:
    """The spans of so many requests, in the order of their beginnings."""

    def ended() -> list[Span]:
        found = [each for each in collector.spans if "xinfer.request.id" in each.attributes]
        return sorted(found, key=lambda each: each.began_at) if len(found) == count else []

    return await eventually(ended, 10, "the requests' spans")


async def test_stream(collector: Collector, gateway: Gateway, registry: RegistryDouble) -> None:
    http = await gateway()
    async with fake_engine(tokens=5) as replica:
        await registry.tell_replicas(replica)
        body = chat("a secret prompt", stream=True, max_tokens=5, temperature=0.5, user="somebody")
        await http.post(PATH, json=body, headers={"x-request-id": "id-1", "traceparent": PARENT})
        (span,) = await whole(collector)
    assert (span.name, span.service, span.failed) == ("chat m", "xinfer-gateway", False)
    assert (span.trace_id, span.parent_id) == (PARENT.split("-")[1], PARENT.split("-")[2])
    seconds = span.attributes.pop("gen_ai.response.time_to_first_chunk")
    assert 0 < seconds < span.ended_at - span.began_at
    assert span.attributes.pop("gen_ai.usage.input_tokens") > 0
    assert span.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "url.path": PATH,
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "xinfer",
        "gen_ai.request.model": "m",
        "gen_ai.request.stream": True,
        "gen_ai.request.max_tokens": 5,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.response.model": "m",
        "gen_ai.usage.output_tokens": 5,
        "xinfer.request.id": "id-1",
        "xinfer.replica": replica.replica,
        "xinfer.outcome": "ok",
    }
    stages = collector.inside(span)
    assert [each.name for each in stages] == STAGES
    for before, after in pairwise(stages):
        assert before.ended_at <= after.began_at
    assert stages[3].attributes["server.port"] == int(str(replica.address).rpartition(":")[2])
    assert b"secret" not in collector.raw
    assert b"somebody" not in collector.raw


async def test_engine_is_told_the_span_that_its_own_belong_to(
    collector: Collector, gateway: Gateway, registry: RegistryDouble
) -> None:
    http = await gateway()
    engine = Scripted(b'{"choices":[]}', kind=b"application/json", size=14)
    async with serving(engine) as url:
        await registry.tell_replicas(report(address=url))
        await http.post(PATH, json=chat("Hello"), headers={"x-request-id": "id-2"})
        (span,) = await whole(collector)
    (asked,) = engine.asked
    (first_byte,) = (each for each in collector.inside(span) if each.name == "first byte")
    version, trace_id, span_id, flags = asked[0][b"traceparent"].decode().split("-")
    assert (version, trace_id, span_id) == ("00", span.trace_id, first_byte.span_id)
    assert int(flags, 16) & 1, "sampled"
    assert asked[0][b"x-xinfer-log-id"] == b"id-2"


async def test_failed_attempt_and_the_next_one(
    collector: Collector, gateway: Gateway, registry: RegistryDouble
) -> None:
    http = await gateway(routing="round-robin")
    async with fake_engine() as replica:
        await registry.tell_replicas(dead_replica(), replica)
        await http.post(PATH, json=chat("Hello"))
        await http.post(PATH, json=chat("Hello"))
        spans = await whole(collector, 2)
    stages = next(found for span in spans if len(found := collector.inside(span)) > len(STAGES))
    assert [each.name for each in stages] == [*STAGES[:3], "first byte", *STAGES[2:]]
    assert [each.failed for each in stages] == [False, False, False, True, False, False, False]
    assert stages[3].attributes["error.type"] == "ClientConnectorError"
    assert not any(span.failed for span in spans), "in the end they were answered"


async def test_errors(collector: Collector, gateway: Gateway, registry: RegistryDouble) -> None:
    http = await gateway()
    async with fake_engine() as replica:
        await registry.tell_replicas(replica)
        await http.post(PATH, json=chat("Hello", model="nobody's"))
        await http.post(PATH, json=chat("!error"))
        unknown, failed = await whole(collector, 2)
    assert (unknown.name, unknown.failed) == (f"POST {PATH}", False)
    assert unknown.attributes["http.response.status_code"] == 404
    assert (unknown.attributes["xinfer.outcome"], unknown.attributes["error.type"]) == ("refused", "model_not_found")
    assert [each.name for each in collector.inside(unknown)] == ["receive", "translate"]
    assert (failed.failed, failed.attributes["http.response.status_code"]) == (True, 500)
    assert failed.attributes["xinfer.outcome"] == "failed"


async def test_sampling_is_the_environments(
    collector: Collector, gateway: Gateway, registry: RegistryDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    http = await gateway()
    async with fake_engine() as replica:
        await registry.tell_replicas(replica)
        await http.post(PATH, json=chat("Hello"))
        await http.post(PATH, json=chat("Hello"), headers={"traceparent": PARENT})
        (span,) = await whole(collector)
    assert span.trace_id == PARENT.split("-")[1]


def test_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    traces = make_traces()
    assert isinstance(traces, NoTraces)
    assert traces.request(None, None) is UNTRACED  # type: ignore[arg-type]  # it is not looked at
    traces.stop()


def test_off_loads_nothing() -> None:
    """Serve loads OpenTelemetry's SDK for itself: only what makes spans of requests, and what sends them, counts."""
    code = (
        "import sys\n"
        "from supervisor.gateway.request_trace import make_traces\n"
        "make_traces()\n"
        "ours = ('supervisor.gateway.recorded_trace', 'opentelemetry.exporter.otlp')\n"
        "print([name for name in sys.modules if name.startswith(ours)])"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.parametrize("is_on", [False, True])
def test_what_it_costs(monkeypatch: pytest.MonkeyPatch, figures: list[str], is_on: bool) -> None:
    """The spans of a request on the supervisor's loop; they are sent from another thread."""
    if is_on:
        # Nobody listens: what is to be sent is dropped in the end.
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    else:
        monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    monkeypatch.setattr("xinfer.traces._LAST_SPANS_S", 0.0)
    traces = make_traces()
    replica, body = report(), chat("Hello", stream=True, max_tokens=5)
    scope = {"headers": [(b"host", b"x"), (b"content-type", b"application/json")]}
    exchange = Exchange(PATH, None, scope, None, None, None, "id-1")  # type: ignore[arg-type]  # nothing is sent
    line = RequestLine("id-1", PATH, "m")
    best, rounds = 1.0, 15
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(rounds):
            with traces.request(exchange, None) as trace:
                trace.stage("translate")
                trace.asks("m", body, streams=True)
                trace.stage("route")
                trace.sends(replica)
                trace.stage("response")
                trace.took(line)
        best = min(best, (time.perf_counter() - began) / rounds)
    traces.stop()
    figures.append(f"traces {'on' if is_on else 'off'}: {best * 1e6:.1f} microseconds per request")
    assert best < (5e-3 if is_on else 20e-6)
