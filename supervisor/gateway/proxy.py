"""The data plane: one request to one engine, bytes both ways."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import aiohttp

from supervisor.gateway.asgi import Receive, Scope, Send
from supervisor.gateway.balancer import Balancer
from supervisor.gateway.disconnect import DisconnectWatch
from supervisor.gateway.idle_tracker import IdleTracker
from supervisor.gateway.prefix import PromptKey, prompt_key
from supervisor.gateway.relay import Relay
from supervisor.gateway.request_body import parse_object, read_body
from supervisor.gateway.request_metrics import RequestMetrics
from supervisor.gateway.serve_middleware import servers_send
from supervisor.gateway.upstream import Answer, Upstream
from supervisor.gateway.wake import Waking
from supervisor.model_table import LiveTable
from supervisor.registry.client import RegistryClient
from supervisor.translate.engine_request import EngineRequest, build_engine_request, model_uid
from xinfer.errors import EngineTimeout, ModelLoading, Unavailable
from xinfer.messages import ModelStatus, ReplicaReport
from xinfer.settings import GatewaySettings
from xinfer.wire.error_format import ErrorFormat

_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class RoutedRequest:
    """What is to be done for one request: take it to one of ``targets``."""

    model: ModelStatus
    targets: list[ReplicaReport]
    """Empty while the model sleeps or wakes."""
    limit: int
    """Requests that each of them may have from here."""
    request: EngineRequest
    key: PromptKey | None

    @property
    def uid(self) -> str:
        return self.model.spec.uid


class Proxy:
    """Carries requests to engines: finds the model, chooses a replica, passes the answer on as it comes."""

    def __init__(
        self,
        settings: GatewaySettings,
        models: LiveTable,
        registry: RegistryClient,
        upstream: Upstream,
        tallies: RequestMetrics,
    ) -> None:
        self._settings = settings
        self._models = models
        self._upstream = upstream
        self._tallies = tallies
        self._balancer = Balancer(settings.routing)
        self._last_use = IdleTracker(self._balancer.in_flight)
        self._waking = Waking(models, registry, settings.wake_timeout_s)
        models.on_change(self._balancer.keep_only)
        models.report_usage(self._last_use.usages)

    def in_flight(self) -> int:
        return self._balancer.in_flight()

    async def serve(
        self, target: tuple[str, str | None], scope: Scope, receive: Receive, send: Send, request_id: str
    ) -> None:
        """Answer one request for ``target``, as ``match_route`` gives it.

        A failure before the first byte is raised; after it, it is the stream's last event.
        """
        errand = self._read(*target, await read_body(scope, receive, self._settings.max_body_bytes))
        with self._tallies.count(errand.uid) as counted:
            async with DisconnectWatch(receive) as client:
                if not errand.targets:
                    errand = await self._when_awake(errand)
                replica, answer = await self._ask(errand)
                counted.responded(answer.is_stream)
                # A long prompt is not kept for as long as its answer takes.
                del errand
                try:
                    form = ErrorFormat.of(target[0])
                    relay = Relay(self._settings, send, servers_send(scope, send), client, form, request_id)
                    counted.broken = not await relay.carry(answer)
                finally:
                    answer.close()
                    self._over(replica)

    def _read(self, path: str, uid_in_path: str | None, raw: bytes) -> RoutedRequest:
        body = parse_object(raw)
        uid = model_uid(body, uid_in_path)
        model, targets = self._models.targets(uid)
        request = build_engine_request(path, raw, body, model.spec)
        limit = model.spec.request_limits or self._settings.max_requests_per_replica
        share = math.ceil(limit / self._settings.supervisors)
        if self._balancer.wants_key(targets):
            key = prompt_key(uid, body)
        else:
            key = None
        return RoutedRequest(model, targets, share, request, key)

    async def _when_awake(self, errand: RoutedRequest) -> RoutedRequest:
        """The errand with the replicas that the model has once it is awake."""
        await self._waking.wait(errand.model, errand.limit)
        model, targets = self._models.targets(errand.uid)
        if not targets:
            raise ModelLoading(f"The model {errand.uid!r} went back to sleep.", retry_after_s=1)
        return replace(errand, model=model, targets=targets)

    async def _ask(self, errand: RoutedRequest) -> tuple[ReplicaReport, Answer]:
        """A replica and the beginning of its answer; one that is not there costs a second attempt, never a third."""
        targets = errand.targets
        avoid = set[str]()
        for _ in range(_ATTEMPTS):
            replica = self._balancer.begin(targets, errand.limit, errand.key, avoid)
            answer = None
            try:
                answer = await self._upstream.send(str(replica.address), errand.request)
                return replica, answer
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as failure:
                avoid.add(replica.replica)
                if isinstance(failure, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
                    self._models.suspect(errand.uid, replica)
                    targets = [target for target in targets if target is not replica]
                if not targets:
                    break
            except TimeoutError:
                sentence = f"The engine of {errand.uid!r} did not begin to answer in time."
                raise EngineTimeout(sentence, retry_after_s=5) from None
            finally:
                if answer is None:
                    self._over(replica)
        raise Unavailable(f"No replica of the model {errand.uid!r} took the request.", retry_after_s=2)

    def _over(self, replica: ReplicaReport) -> None:
        self._balancer.end(replica)
        self._last_use.note(replica.model_uid)
