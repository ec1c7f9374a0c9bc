"""Sends the spans of launches to a collector. Imported only where traces are on."""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from supervisor.registry.launch_spans import LaunchSpan, LaunchSpans
from xinfer.messages import ModelTable
from xinfer.traces import TracesTarget, service, span_sender

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_SCOPE = InstrumentationScope("xinfer.registry")


class LaunchTraces:
    """Begins with what the registry knows at its start."""

    def __init__(self, target: TracesTarget, table: ModelTable) -> None:
        self._spans = LaunchSpans(table)
        self._sender = span_sender(target)
        self._resource = service("xinfer-registry")

    def observe(self, table: ModelTable) -> None:
        """``table`` is how things are now, or what has changed. Does not wait for the collector."""
        for span in self._spans.observe(table):
            self._sender.on_end(self._readable(span))

    def _readable(self, span: LaunchSpan) -> ReadableSpan:
        """Of a span that is over already. The SDK's tracer would give it an id of its own."""
        parent = None
        if span.parent_id is not None:
            parent = _context(span.trace_id, span.parent_id)
        status = Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET)
        return ReadableSpan(
            span.name,
            _context(span.trace_id, span.span_id),
            parent,
            self._resource,
            span.attributes,
            kind=SpanKind.INTERNAL,
            status=status,
            start_time=round(span.began_at * 1e9),
            end_time=round(span.ended_at * 1e9),
            instrumentation_scope=_SCOPE,
        )


def _context(trace_id: int, span_id: int) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=_SAMPLED)
