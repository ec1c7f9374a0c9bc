"""The spans of one request by OpenTelemetry: the whole of it, and one stage after the other. No prompt, no response."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from supervisor.gateway.exchange import Exchange
from supervisor.gateway.outcome import outcome_of, status_of
from supervisor.gateway.request_line import RequestLine
from supervisor.gateway.request_trace import RequestTrace
from xinfer.errors import XinferError
from xinfer.messages import Outcome, ReplicaReport
from xinfer.traces import TracesTarget, service, span_sender, stop_sending
from xinfer.wire.paths import CHAT, COMPLETIONS, MESSAGES, RESPONSES

_OPERATIONS = {
    CHAT: "chat",
    RESPONSES: "chat",
    MESSAGES: "chat",
    f"/anthropic{MESSAGES}": "chat",
    COMPLETIONS: "text_completion",
}
# Numbers of a request's body that the conventions have names for, and nothing else of it.
_NUMBERS = {
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "max_output_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "n": "gen_ai.request.choice.count",
    "seed": "gen_ai.request.seed",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
}
_CONTEXT_HEADERS = (b"traceparent", b"tracestate")
_propagator = TraceContextTextMapPropagator()


class RecordedTrace(RequestTrace):
    """Attributes are named by OpenTelemetry's conventions for generative AI where those have a name."""

    __slots__ = ("_broken", "_inside", "_operation", "_span", "_stage", "_tracer")

    def __init__(self, tracer: Tracer, exchange: Exchange, key_id: str | None) -> None:
        self._tracer = tracer
        self._operation = _OPERATIONS.get(exchange.path)
        self._broken = False
        attributes = {
            "http.request.method": "POST",
            "url.path": exchange.path,
            "gen_ai.provider.name": "xinfer",
            "xinfer.request.id": exchange.request_id,
        }
        if self._operation:
            attributes["gen_ai.operation.name"] = self._operation
        if key_id:
            attributes["xinfer.key.id"] = key_id
        name = f"POST {exchange.path}"
        self._span = tracer.start_span(name, _parent(exchange), SpanKind.SERVER, attributes)
        self._inside = set_span_in_context(self._span, Context())
        self._stage: Span = tracer.start_span("receive", self._inside)

    def stage(self, name: str) -> None:
        self._stage.end()
        self._stage = self._tracer.start_span(name, self._inside)

    def asks(self, uid: str, body: Mapping[str, Any], *, streams: bool) -> None:
        if self._operation:
            self._span.update_name(f"{self._operation} {uid}")
        attributes: dict[str, str | int | float] = {"gen_ai.request.model": uid, "gen_ai.request.stream": streams}
        for field, name in _NUMBERS.items():
            value = body.get(field)
            if isinstance(value, int | float) and not isinstance(value, bool):
                attributes[name] = value
        self._span.set_attributes(attributes)

    def sends(self, replica: ReplicaReport) -> Mapping[str, str]:
        self._stage.end()
        address = urlsplit(str(replica.address))
        attributes: dict[str, str | int] = {
            "server.address": address.hostname or "",
            "server.port": address.port or 0,
            "xinfer.replica": replica.replica,
        }
        self._stage = self._tracer.start_span("first byte", self._inside, SpanKind.CLIENT, attributes)
        headers: dict[str, str] = {}
        _propagator.inject(headers, set_span_in_context(self._stage, Context()))
        return headers

    def fails(self, why: str) -> None:
        self._stage.set_attribute("error.type", why)
        self._stage.set_status(StatusCode.ERROR)

    def breaks_off(self) -> None:
        self._broken = True

    def took(self, line: RequestLine) -> None:
        known = {
            "gen_ai.response.model": line.model,
            "gen_ai.response.time_to_first_chunk": line.first_token_s,
            "gen_ai.usage.input_tokens": line.prompt_tokens,
            "gen_ai.usage.output_tokens": line.completion_tokens,
            "xinfer.replica": line.replica,
        }
        self._span.set_attributes({name: value for name, value in known.items() if value is not None})

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        outcome = outcome_of(error, broken=self._broken)
        self._span.set_attributes({"http.response.status_code": status_of(error), "xinfer.outcome": outcome.value})
        if outcome is not Outcome.OK:
            kind = outcome.value
            if isinstance(error, XinferError):
                kind = error.code or error.type
            self._span.set_attribute("error.type", kind)
            # A server's span has failed if that was the server's fault: not what the client asked, or gave up.
            if outcome not in (Outcome.REFUSED, Outcome.CANCELLED):
                self.fails(kind)
                self._span.set_status(StatusCode.ERROR)
        self._stage.end()
        self._span.end()


class SentTraces:
    """Spans go to a collector. The environment says which requests are sampled (``OTEL_TRACES_SAMPLER``)."""

    def __init__(self, target: TracesTarget) -> None:
        self._sender = span_sender(target)
        # Not the process's global one, to which other libraries would add spans of their own.
        provider = TracerProvider(resource=service("xinfer-gateway"), shutdown_on_exit=False)
        provider.add_span_processor(self._sender)
        self._tracer = provider.get_tracer("xinfer.gateway")

    def request(self, exchange: Exchange, key_id: str | None) -> RequestTrace:
        return RecordedTrace(self._tracer, exchange, key_id)

    def stop(self) -> None:
        stop_sending(self._sender)


def _parent(exchange: Exchange) -> Context:
    """The context of the client's own span, if it has sent one."""
    headers = exchange.scope["headers"]
    carrier = {name.decode(): value.decode("latin-1") for name, value in headers if name in _CONTEXT_HEADERS}
    return _propagator.extract(carrier, Context())
