"""Where traces go, by the environment."""

from __future__ import annotations

import pytest

from xinfer.traces import LaunchContext, TracesTarget, traces_target

BASE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        (BASE, TracesTarget("http://collector:4318/v1/traces", "http/protobuf")),
        ({**BASE, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, TracesTarget("http://collector:4318/", "grpc")),
        (
            {
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://t/x",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            },
            TracesTarget("https://t/x", "http/protobuf"),
        ),
        ({**BASE, "OTEL_SDK_DISABLED": "true"}, None),
        ({**BASE, "OTEL_TRACES_EXPORTER": "none"}, None),
    ],
)
def test_target(environment: dict[str, str], expected: TracesTarget | None) -> None:
    assert traces_target(environment) == expected


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"}, "OTEL_EXPORTER_OTLP_ENDPOINT='collector:4317'"),
        ({**BASE, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "OTEL_EXPORTER_OTLP_PROTOCOL='http/json'"),
    ],
)
def test_wrong_value(environment: dict[str, str], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        traces_target(environment)


def test_ids_of_a_launch_follow_from_it() -> None:
    context = LaunchContext("m", 1.25)
    assert context.trace_id == LaunchContext("m", 1.25).trace_id != LaunchContext("m", 1.5).trace_id
    assert context.traceparent("r1") == f"00-{context.trace_id:032x}-{context.span_of('r1'):016x}-01"
    assert len({context.span_id, context.span_of("r1"), context.span_of("r2")}) == 3
