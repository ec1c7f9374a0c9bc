"""The data plane: one request to one engine, bytes both ways."""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import aiohttp
import msgspec

from supervisor.access.meter import Meter
from supervisor.gateway.balancer import Balancer
from supervisor.gateway.drain import Drain
from supervisor.gateway.engine_errors import is_engine_dead, translate
from supervisor.gateway.exchange import DisconnectWatch, Exchange
from supervisor.gateway.prefix import PromptKey, prompt_key
from supervisor.gateway.relay import Relay
from supervisor.gateway.request_body import parse_object, read_body
from supervisor.gateway.request_metrics import IdleTracker, RequestMetrics, TrackedRequest
from supervisor.gateway.request_trace import UNTRACED, RequestTrace
from supervisor.gateway.resume import Rest, ResumingStream
from supervisor.gateway.turns import Turn, Turns
from supervisor.gateway.upstream import Upstream, UpstreamResponse
from supervisor.gateway.wake import Waking
from supervisor.model_table import LiveTable
from supervisor.registry.client import RegistryClient
from supervisor.translate.engine_request import EngineRequest, build_engine_request, model_uid, tokenize_request
from supervisor.translate.resume import SentText
from xinfer.errors import EngineTimeout, ModelLoading, Unavailable
from xinfer.messages import ModelStatus, ReplicaReport
from xinfer.reachable import accepts_connections
from xinfer.settings import GatewaySettings
from xinfer.wire.paths import LOG_ID

_MAX_ATTEMPTS = 2


class EngineCoreDead(Exception):
    """An engine's server says that its core has died; the server itself follows in a moment."""


@dataclass(frozen=True, slots=True)
class RoutedRequest:
    """What is to be done for one request: take it to one of ``targets``."""

    model: ModelStatus
    targets: Sequence[ReplicaReport]
    """Empty while the model sleeps or wakes."""
    limit: int
    """Requests that each of them may have from here."""
    engine_request: EngineRequest
    key: PromptKey | None
    turn: Turn | None = None
    """How it waits while the model is full; None if it does not."""

    @property
    def uid(self) -> str:
        return self.model.spec.uid


class Proxy:
    """Carries requests to engines: finds the model, chooses a replica, passes the response on as it comes."""

    def __init__(
        self,
        settings: GatewaySettings,
        models: LiveTable,
        registry: RegistryClient,
        upstream: Upstream,
        metrics: RequestMetrics,
        drain: Drain,
    ) -> None:
        self._settings = settings
        self._models = models
        self._upstream = upstream
        self._metrics = metrics
        self._drain = drain
        self._balancer = Balancer(settings.routing)
        self._turns = Turns(settings, models, self._balancer)
        self._last_use = IdleTracker(self._balancer.in_flight)
        self._waking = Waking(models, registry, settings.wake_timeout_s)
        models.on_replicas_gone(self._balancer.forget)
        metrics.read_replicas(self._balancer.load)
        models.report_usage(self._last_use.usages)

    def in_flight(self) -> int:
        return self._balancer.in_flight()

    @property
    def balancer(self) -> Balancer:
        """Which knows what is in flight from here, to be told what is from elsewhere."""
        return self._balancer

    async def serve(self, exchange: Exchange, meter: Meter | None = None, trace: RequestTrace = UNTRACED) -> None:
        """Send one request to an engine and its response to the client; ``meter`` counts it if it has a key.

        A failure before the first byte is raised; after it, it is the stream's last event.
        """
        raw = await read_body(exchange.scope, exchange.receive, self._settings.max_body_bytes)
        trace.stage("translate")
        request = self._read(exchange.path, exchange.uid_in_path, raw, meter, trace)
        with self._metrics.count(request.uid, exchange.request_id, exchange.path) as tracked:
            tracked.trace = trace
            tracked.line.key = meter.caller.key.id if meter else None
            async with DisconnectWatch(exchange.receive) as client, self._drain.request() as under_way:
                if not request.targets:
                    trace.stage("wake")
                    request = await self._when_awake(request)
                    tracked.awake()
                replica, response, body = await self._send_with_retry(request, tracked)
                tracked.responded(response.is_stream)
                tracked.line.replica = replica.replica
                resuming = None
                engine_timeout_s = self._settings.idle_timeout_s
                if body is None and request.engine_request.resumable:
                    resuming = self._resuming(request, tracked, replica, response)
                    # It notices by itself that the engine stands still, and then waits for another one.
                    engine_timeout_s += self._settings.first_byte_timeout_s
                turn = request.turn
                # A long prompt is kept for as long as its response streams only if it may be needed again.
                del request, raw
                relay = Relay(self._settings, exchange, client, engine_timeout_s, tracked.inter_token, meter)
                try:
                    if body is None:
                        under_way.on_end(relay.stop)
                        with meter.stream(relay.revoke) if meter else contextlib.nullcontext():
                            tracked.broken = not await relay.copy(resuming or response)
                        if tracked.broken:
                            trace.breaks_off()
                            if meter:
                                meter.breaks_off()
                        tracked.line.read_usage(*relay.last_pieces)
                    else:
                        tracked.line.read_usage(body)
                        await relay.pass_whole(response, body)
                finally:
                    response.close()
                    if resuming:
                        resuming.close()
                        replica = resuming.replica
                        tracked.resumed = resuming.was_resumed
                    self._release(replica, turn)

    def _read(
        self, path: str, uid_in_path: str | None, raw: bytes, meter: Meter | None, trace: RequestTrace
    ) -> RoutedRequest:
        body = parse_object(raw)
        uid = model_uid(body, uid_in_path)
        tenant = None
        if meter:
            meter.caller.check_model(uid)
            tenant = meter.caller.tenant
        model, targets = self._models.targets(uid)
        engine_request = build_engine_request(path, raw, body, model.spec, tenant)
        trace.asks(uid, body, streams=engine_request.streams)
        if meter:
            meter.admit(uid, len(raw))
        limit = model.spec.request_limits or self._settings.max_requests_per_replica
        # One that hears of the others shares with them what is left; until then it has its part.
        if self._balancer.supervisors == 1:
            limit = math.ceil(limit / self._settings.supervisors)
        if self._balancer.wants_key(targets):
            key = prompt_key(uid, body, with_home=self._balancer.supervisors > 1)
        else:
            key = None
        turn = self._turns.of(uid, limit, meter) if meter else None
        return RoutedRequest(model, targets, limit, engine_request, key, turn)

    async def _when_awake(self, request: RoutedRequest) -> RoutedRequest:
        """The request with the replicas that the model has once it is awake."""
        await self._waking.wait(request.model, request.limit)
        model, targets = self._models.targets(request.uid)
        if not targets:
            raise ModelLoading(f"The model {request.uid!r} went back to sleep.", retry_after_s=1)
        return replace(request, model=model, targets=targets)

    async def _send_with_retry(
        self, request: RoutedRequest, tracked: TrackedRequest
    ) -> tuple[ReplicaReport, UpstreamResponse, bytes | None]:
        """Send the request to a replica and wait for what can be passed on: the first bytes of a stream, or the whole body.

        Until then nothing has gone to the client. So an engine that is lost before costs a second attempt, at another replica
        if there is one.
        """
        targets = request.targets
        avoid = set[str]()
        trace = tracked.trace
        for attempt in range(_MAX_ATTEMPTS):
            trace.stage("route")
            replica = await self._begin(request, targets, avoid, tracked)
            if attempt:
                tracked.retried()
            response = None
            taken = False
            try:
                sent_at = time.monotonic()
                headers = {LOG_ID: tracked.line.request_id, **trace.sends(replica)}
                response = await self._upstream.send(str(replica.address), request.engine_request, headers)
                trace.stage("response")
                body = None
                if response.is_stream:
                    self._balancer.streams(replica, time.monotonic() - sent_at)
                else:
                    body = await response.read_whole(self._settings.idle_timeout_s)
                    if is_engine_dead(response.status, body):
                        raise EngineCoreDead
                taken = True
                return replica, response, body
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, EngineCoreDead) as failure:
                trace.fails(type(failure).__name__)
                avoid.add(replica.replica)
                if await _is_lost(replica, failure):
                    self._models.suspect(request.uid, replica)
                    targets = [target for target in targets if target is not replica]
                if not targets:
                    break
            except TimeoutError:
                trace.fails("timeout")
                sentence = f"The engine of {request.uid!r} did not respond in time."
                raise EngineTimeout(sentence, retry_after_s=5) from None
            finally:
                if not taken:
                    if response:
                        response.close()
                    self._release(replica, request.turn)
        raise Unavailable(f"No replica of the model {request.uid!r} could serve the request.", retry_after_s=2)

    async def _begin(
        self, request: RoutedRequest, targets: Sequence[ReplicaReport], avoid: set[str], tracked: TrackedRequest
    ) -> ReplicaReport:
        """Count the request at one of ``targets``, once its turn has come. Raises ``ModelOverloaded``."""
        limit, key, counts = request.limit, request.key, tracked.routing
        if request.turn is None:
            return self._balancer.begin(targets, limit, key, avoid, counts)
        # Which replicas there are is looked up when its turn has come.
        return await request.turn.begin(lambda found: self._balancer.begin(found, limit, key, avoid, counts))

    def _resuming(
        self, request: RoutedRequest, tracked: TrackedRequest, replica: ReplicaReport, response: UpstreamResponse
    ) -> ResumingStream:
        ask_for_rest = functools.partial(self._ask_for_rest, request, tracked)
        return ResumingStream(replica, response, ask_for_rest, self._settings.idle_timeout_s)

    async def _ask_for_rest(
        self, request: RoutedRequest, tracked: TrackedRequest, lost: ReplicaReport, sent: SentText
    ) -> Rest:
        """Have another replica go on with a stream of ``lost`` after what was ``sent``.

        Raises ``XinferError``, ``aiohttp.ClientError`` or ``TimeoutError`` if none can; ``lost`` is counted as before then.
        """
        self._models.suspect(request.uid, lost)
        model, targets = self._models.targets(request.uid)
        tokens = 0
        if not sent.is_empty:
            tokens = await self._count_tokens(targets[0], sent)
        engine_request = request.engine_request.rest(sent, tokens)
        rest = replace(request, model=model, targets=targets, engine_request=engine_request, key=None)
        replica, response, body = await self._send_with_retry(rest, tracked)
        if body is not None:
            response.close()
            self._release(replica, request.turn)
            raise translate(response.status, body, "")
        self._release(lost, None)
        return Rest(replica, response, tokens)

    async def _count_tokens(self, replica: ReplicaReport, sent: SentText) -> int:
        request = tokenize_request(sent.reasoning + sent.content)
        response = await self._upstream.send(str(replica.address), request)
        try:
            body = await response.read_whole(self._settings.idle_timeout_s)
        finally:
            response.close()
        if response.status != 200:
            raise translate(response.status, body, "")
        count: int = msgspec.json.decode(body)["count"]
        return count

    def _release(self, replica: ReplicaReport, turn: Turn | None) -> None:
        """``turn`` is over with it, unless its request goes on elsewhere."""
        self._balancer.end(replica)
        self._last_use.note(replica.model_uid)
        if turn:
            turn.leave()
        self._turns.freed(replica.model_uid)


async def _is_lost(replica: ReplicaReport, failure: Exception) -> bool:
    """True if no request should go there for a while: it takes no connection, or its engine core is dead."""
    if isinstance(failure, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, EngineCoreDead)):
        return True
    # A server may close a connection that was idle just when a request is written to it; that one lives.
    return not await accepts_connections(str(replica.address))
