"""The supervisor as one ASGI application, and as the Serve application that runs it."""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import Any

from fastapi.exceptions import RequestValidationError
from ray import serve
from ray.serve import Application
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from supervisor.access.access import Access, limit_headers
from supervisor.access.caller import Caller
from supervisor.access.meter import Meter
from supervisor.api import console, not_kept, pages
from supervisor.api.aborts import AbortApi
from supervisor.api.anthropic_models import AnthropicModelsApi
from supervisor.api.benchmarks import BenchmarksApi
from supervisor.api.cache import CacheApi
from supervisor.api.catalog import CatalogApi
from supervisor.api.cluster import ClusterApi
from supervisor.api.control_plane import ControlPlane, invalid_request
from supervisor.api.event_stream import EventStreamApi
from supervisor.api.fits import FitsApi
from supervisor.api.keys import KeysApi
from supervisor.api.metrics import MetricsApi
from supervisor.api.models import ModelsApi
from supervisor.api.nodes import NodesApi
from supervisor.api.registrations import RegistrationsApi
from supervisor.api.replicas import ReplicasApi
from supervisor.api.scaling import ScalingApi
from supervisor.api.scrape_targets import ScrapeTargetsApi
from supervisor.api.sessions import SessionsApi
from supervisor.api.stats import StatsApi
from supervisor.api.unsupported_routes import why_unsupported
from supervisor.background import Background
from supervisor.gateway.drain import Drain
from supervisor.gateway.exchange import is_in_serve, open_exchange
from supervisor.gateway.load_reports import LoadReports
from supervisor.gateway.memory_trim import MemoryTrimmer
from supervisor.gateway.proxy import Proxy
from supervisor.gateway.request_body import ClientGone
from supervisor.gateway.request_line import set_share
from supervisor.gateway.request_metrics import RequestMetrics
from supervisor.gateway.request_trace import make_traces
from supervisor.gateway.shared_loads import SharedLoads
from supervisor.gateway.upstream import Upstream
from supervisor.model_table import LiveTable
from supervisor.own_address import listen_at_own_address
from supervisor.registry.access_client import AccessClient, RayAccessClient
from supervisor.registry.client import RayRegistryClient, RegistryClient
from supervisor.translate.engine_request import match_route
from supervisor.web_pages import refuse_changes, with_cors
from xinfer import __version__
from xinfer.access_settings import AccessSettings
from xinfer.cluster.cluster_secret import own_engine_secret, own_operator_key, own_session_secret
from xinfer.errors import AuthenticationFailed, InternalError, MethodNotAllowed, NotFound, XinferError
from xinfer.logs import attach_to_serve
from xinfer.names import SUPERVISOR_DEPLOYMENT
from xinfer.request_log import attach_file
from xinfer.sched_batch import use_batch_scheduling
from xinfer.settings import GatewaySettings, home
from xinfer.wire.error_format import ErrorFormat

_log = logging.getLogger("xinfer.gateway")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}\Z")
_MAX_ONGOING = 100_000
_CLIENT_GONE = 499
_UNMETERED = nullcontext[None]()
_LONGEST_SHOWN = 100
"""Characters of a request's path that its error repeats."""


class Supervisor:
    """What is for engines goes straight to the data plane, all else to Starlette's routes. All errors leave through here.

    With ``access`` and ``keys``, who tells of the keys, every request but those for liveness needs a key.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        registry: RegistryClient,
        *,
        allow_fake: bool = False,
        access: AccessSettings | None = None,
        keys: AccessClient | None = None,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._allow_fake = allow_fake
        self._models = LiveTable(registry)
        self._request_metrics = RequestMetrics()
        self._traces = make_traces()
        self._upstream = Upstream(settings, own_engine_secret())
        self._access: Access | None = None
        if access is not None:
            assert keys is not None, "keys are required, and nobody tells of them"
            self._access = Access(
                access,
                keys,
                lambda: self.control.routes,
                own_operator_key(),
                own_session_secret(),
                refusals_per_s=settings.refusals_per_s,
            )
        self._keys = keys
        self._metrics = MetricsApi(
            self._models,
            registry,
            self._request_metrics,
            settings.max_requests_per_replica,
            self._access.live if self._access else None,
        )
        self._drain = Drain(self._models, registry)
        self._proxy = Proxy(settings, self._models, registry, self._upstream, self._request_metrics, self._drain)
        self._shared_loads = SharedLoads(self._proxy.balancer, registry, self._models.supervisor_id)
        self._load_reports = LoadReports(self._models, registry, self._request_metrics)
        self._trimmer = MemoryTrimmer(self._proxy.in_flight)
        self._background = Background()
        self.control = self._build_control()
        # Outside of everything, so that pages can read errors as well.
        self._http = with_cors(self._serve, settings.cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                attach_to_serve()
                set_share()
                if is_in_serve():
                    attach_file(home())
                use_batch_scheduling()
                await self._upstream.start()
                self._trimmer.start()
                await self._models.start()
                if self._access:
                    await self._access.start()
                self._metrics.start()
                self._drain.start()
                self._background.spawn(self._shared_loads.run())
                self._background.spawn(self._load_reports.run())
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._background.stop()
                await self._drain.stop()
                await self._metrics.stop()
                if self._access:
                    await self._access.stop()
                await self._models.stop()
                await self._trimmer.stop()
                await self._upstream.close()
                await asyncio.to_thread(self._traces.stop)
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = _request_id(scope)
        send = started = StartedSend(send)
        # Starlette adds to it what it has found.
        asked = {**scope}
        try:
            exchange = open_exchange(scope, receive, send, request_id)
            caller = None
            if self._access:
                caller = self._access.check(asked, for_engine=exchange is not None)
            if exchange is None:
                refuse_changes(scope, self._settings.cors_origins)
                await self.control(asked, receive, send)
                self._audit(asked, started.status, request_id)
            elif scope["method"] != "POST":
                raise HTTPException(405)
            else:
                key_id = caller.key.id if caller else None
                with self._traces.request(exchange, key_id) as trace, self._metered(asked, caller) as meter:
                    await self._proxy.serve(exchange, meter, trace)
            return
        except ClientGone:
            self._audit(asked, _CLIENT_GONE, request_id)
            return
        except asyncio.CancelledError:
            # Serve cancels what its client has left. What was asked for may go on.
            self._audit(asked, _CLIENT_GONE, request_id)
            raise
        except XinferError as error:
            if self._access and isinstance(error, AuthenticationFailed):
                await self._access.refusal_pace.wait()
            refusal = _refusal(asked, error, request_id)
        except RequestValidationError as error:
            refusal = _refusal(asked, invalid_request(error), request_id)
        except HTTPException as error:
            if error.status_code == 405:
                allow = {"allow": self._methods_of(scope["path"])}
            else:
                allow = {}
            refusal = _refusal(asked, self._routing_error(error, scope), request_id, allow)
        except Exception:  # the edge: whatever it is, the caller gets a fixed sentence
            _log.exception("request %s failed", request_id)
            if started.begun:
                # The server cuts the connection: a second head must not follow the first.
                raise
            sentence = f"Something went wrong inside xinfer; the log has details under request id {request_id}."
            refusal = _refusal(asked, InternalError(sentence), request_id)
        self._audit(asked, refusal.status_code, request_id)
        await refusal(scope, receive, send)

    def _metered(self, asked: Scope, caller: Caller | None) -> AbstractContextManager[Meter | None]:
        if self._access and caller:
            return self._access.meter(asked, caller)
        return _UNMETERED

    def _audit(self, scope: Scope, status: int, request_id: str) -> None:
        if self._access and not match_route(scope["path"]):
            self._access.audit(scope, status, request_id)

    def _methods_of(self, path: str) -> str:
        """For the header ``Allow``: what a path does take."""
        if match_route(path):
            return "POST"
        return ", ".join(self.control.allowed_methods(path))

    def _routing_error(self, error: HTTPException, scope: Scope) -> XinferError:
        path = scope["path"]
        why = why_unsupported(scope["method"], path)
        if why:
            return NotFound(why)
        if error.status_code == 405:
            return MethodNotAllowed("This route does not take this method.")

        sentence = f"There is no route {path[:_LONGEST_SHOWN]!r}."
        meant = next((each for each in _nearby(path) if self._is_route(each)), None)
        if meant and len(meant) <= _LONGEST_SHOWN and meant.isprintable():
            sentence += f" Did you mean {meant}?"
        return NotFound(sentence)

    def _is_route(self, path: str) -> bool:
        return match_route(path) is not None or bool(self.control.allowed_methods(path))

    def _build_control(self) -> ControlPlane:
        control = ControlPlane(self._settings.max_body_bytes, requires_keys=self._access is not None)
        routes = control.router
        CatalogApi(self._models).add_routes(routes)
        RegistrationsApi(self._models, self._registry).add_routes(routes)
        models = ModelsApi(
            self._models,
            self._registry,
            allow_fake=self._allow_fake,
            access=self._access.settings if self._access else None,
        )
        models.add_routes(routes)
        EventStreamApi(self._models, models, self._access).add_routes(routes)
        FitsApi(self._models).add_routes(routes)
        ReplicasApi(self._models, self._registry).add_routes(routes)
        ScalingApi(self._models, self._registry).add_routes(routes)
        NodesApi(self._models, self._registry).add_routes(routes)
        ClusterApi(self._models, self._registry, requires_keys=self._access is not None).add_routes(routes)
        CacheApi(self._models).add_routes(routes)
        self._metrics.add_routes(routes)
        StatsApi(self._models, self._metrics.traffic).add_routes(routes)
        BenchmarksApi(self._models).add_routes(routes)
        ScrapeTargetsApi(self._models).add_routes(routes)
        pages.add_routes(routes)
        console.add_routes(routes)
        not_kept.add_routes(routes)
        AnthropicModelsApi(self._models).add_routes(routes)
        AbortApi(self._models, self._upstream).add_routes(routes)
        KeysApi(self._access, self._keys).add_routes(routes)
        SessionsApi(self._access, self._settings.grafana_url).add_routes(routes)
        return control


class StartedSend:
    """``send`` that knows whether a response has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if not self.begun:
            self.begun = True
            self.status = message.get("status", 0)
        await self._send(message)


def _refusal(
    scope: Scope, error: XinferError, request_id: str, headers: Mapping[str, str] = MappingProxyType({})
) -> JSONResponse:
    """The response that says ``error`` in the words of the API that ``scope`` is a request of."""
    form = ErrorFormat.of(scope["path"])
    told = {**error.headers(), **form.headers(request_id), **limit_headers(scope), **headers}
    return JSONResponse(form.body(error, request_id), error.status, told)


def _nearby(path: str) -> list[str]:
    """What a client may have meant whose base URL has no ``/v1``, or something before it, or a slash too many."""
    plain = "/" + "/".join(part for part in path.split("/") if part)
    nearby = [plain, f"/v1{plain}"]
    _, version, rest = plain.rpartition("/v1/")
    if version:
        nearby.append(f"/v1/{rest}")
    return [each for each in nearby if each != path]


def _request_id(scope: Scope) -> str:
    """The caller's ``X-Request-Id`` if it is one, for the logs; never a key to anything. Serve sets it and sends it back."""
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    if _REQUEST_ID.match(given):
        return given.decode()
    return uuid.uuid4().hex


def build(
    settings: GatewaySettings, *, resources: dict[str, float], allow_fake: bool, access: AccessSettings | None = None
) -> Application:
    """The Serve application of all supervisors, on nodes that have ``resources``; with ``access``, keys are required."""

    def make() -> Supervisor:
        return Supervisor(settings, RayRegistryClient(), allow_fake=allow_fake, access=access, keys=RayAccessClient())

    return _application(make, f"{settings} {allow_fake} {access}", settings.supervisors, resources=resources)


def build_on_each_node(
    settings: GatewaySettings, nodes: int, *, allow_fake: bool, access: AccessSettings | None = None
) -> Application:
    """The same with ``settings.supervisors`` on each of so many nodes. Serve has to be told when nodes come and go."""
    per_node = settings.supervisors

    def make() -> Supervisor:
        listen_at_own_address()
        return Supervisor(settings, RayRegistryClient(), allow_fake=allow_fake, access=access, keys=RayAccessClient())

    version = f"{settings} {allow_fake} {access}"
    return _application(make, version, per_node * nodes, max_replicas_per_node=per_node)


def _application(
    make: Callable[[], Supervisor],
    version: str,
    replicas: int,
    *,
    resources: Mapping[str, float] = MappingProxyType({}),
    **options: Any,
) -> Application:
    configure = serve.deployment(
        name=SUPERVISOR_DEPLOYMENT,
        num_replicas=replicas,
        ray_actor_options={"num_cpus": 0, "resources": dict(resources)},
        max_ongoing_requests=_MAX_ONGOING,
        health_check_period_s=5,
        health_check_timeout_s=10,
        # It has the route prefix for a path, and costs a response that does not stream a tenth; ``logs/requests`` says more.
        logging_config={"enable_access_log": False},
        **options,
    )
    # A head that takes a cluster over finds the application there; Serve replaces replicas of another version only.
    deployment = configure(serve.ingress(make)()).options(version=f"{__version__} {version}", _internal=True)
    application: Application = deployment.bind()
    return application
