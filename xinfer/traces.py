"""Where traces go, by OpenTelemetry's own environment variables, and what sends them. Nothing is imported while they are off."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from xinfer import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"
TRACES_PROTOCOL = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
SERVICE_NAME = "OTEL_SERVICE_NAME"
PARENT = "TRACEPARENT"
"""Environment variable with the span that an engine's own spans of its start belong to."""
_LAST_SPANS_S = 2.0
_PATH = "/v1/traces"

Protocol = Literal["http/protobuf", "grpc"]


@dataclass(frozen=True, slots=True)
class TracesTarget:
    """A collector."""

    endpoint: str
    """Of HTTP the whole URL, of gRPC the server's."""
    protocol: Protocol


def traces_target(environment: Mapping[str, str] = os.environ) -> TracesTarget | None:
    """The collector that the environment names; None while traces are off. ``ValueError`` for a wrong value."""
    base = environment.get(ENDPOINT, "")
    endpoint = environment.get(TRACES_ENDPOINT) or base
    if not endpoint or environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    if environment.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return None

    if not endpoint.startswith(("http://", "https://")):
        variable = TRACES_ENDPOINT if environment.get(TRACES_ENDPOINT) else ENDPOINT
        raise ValueError(f"{variable}={endpoint!r}: expected a URL such as http://127.0.0.1:4318")
    protocol = _protocol(environment)
    if protocol == "http/protobuf" and not environment.get(TRACES_ENDPOINT):
        endpoint = base.rstrip("/") + _PATH
    return TracesTarget(endpoint, protocol)


def check_traces() -> None:
    """``ValueError`` if the environment asks for traces that this node could not send."""
    if traces_target() is None:
        return
    for package in ("opentelemetry.sdk", "opentelemetry.exporter.otlp"):
        if not _is_installed(package):
            raise ValueError(
                f'{ENDPOINT}: traces need OpenTelemetry\'s SDK and exporter; install the extra: pip install "xinfer[traces]"'
            )


def service(name: str) -> Resource:
    """What the spans of this process are spans of: ``name``, unless the environment names the service."""
    from opentelemetry.sdk.resources import Resource

    return Resource.create(
        {
            "service.name": os.environ.get(SERVICE_NAME) or name,
            "service.version": __version__,
            "process.pid": os.getpid(),
        }
    )


def span_sender(target: TracesTarget) -> BatchSpanProcessor:
    """Sends spans from a thread of its own, some at a time; what the collector does not take is dropped and logged."""
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return BatchSpanProcessor(_exporter(target))


def stop_sending(sender: BatchSpanProcessor) -> None:
    """Send what is left; a collector that is gone is waited for no longer than two seconds."""
    thread = threading.Thread(target=sender.shutdown, name="last-spans", daemon=True)
    thread.start()
    thread.join(_LAST_SPANS_S)


@dataclass(frozen=True, slots=True)
class LaunchContext:
    """The ids of a launch's spans. They follow from the launch, so that registry and workers agree without a message."""

    uid: str
    created_at: float

    @property
    def trace_id(self) -> int:
        return int.from_bytes(self._digest("trace")[:16], "big")

    @property
    def span_id(self) -> int:
        """Of the launch as a whole."""
        return self.span_of("launch")

    def span_of(self, part: str) -> int:
        """The span of a part of it: of a replica by its name."""
        return int.from_bytes(self._digest(part)[:8], "big")

    def traceparent(self, part: str) -> str:
        """The header of W3C's Trace Context for what happens within that part."""
        return f"00-{self.trace_id:032x}-{self.span_of(part):016x}-01"

    def _digest(self, part: str) -> bytes:
        return hashlib.sha256(f"{self.uid} {self.created_at!r} {part}".encode()).digest()


def _protocol(environment: Mapping[str, str]) -> Protocol:
    for variable in (TRACES_PROTOCOL, PROTOCOL):
        match environment.get(variable):
            case None | "":
                continue
            case "http/protobuf":
                return "http/protobuf"
            case "grpc":
                return "grpc"
            case other:
                raise ValueError(f"{variable}={other!r}: expected http/protobuf or grpc")
    return "http/protobuf"


def _exporter(target: TracesTarget) -> SpanExporter:
    if target.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc

        return grpc.OTLPSpanExporter(endpoint=target.endpoint)

    from opentelemetry.exporter.otlp.proto.http import trace_exporter as http

    return http.OTLPSpanExporter(endpoint=target.endpoint)


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False
