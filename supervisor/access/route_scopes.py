"""What a key has to be for, route by route. A route that is not here takes an admin's key, and a test fails.

To add a route, add one line to ``ROUTES``: its methods, its path as the route has it, and its scope.
"""

from __future__ import annotations

from enum import Enum

from xinfer.messages import KeyScope


class RouteScope(Enum):
    """Who may use a route."""

    OPEN = "open"  # everybody, without a key
    INFER = "infer"
    LAUNCH = "launch"
    ADMIN = "admin"
    METRICS = "metrics"  # keys for metrics, which are of all models, and admins

    def admits(self, scope: KeyScope) -> bool:
        """Whether a key of this scope may use such a route."""
        return self is RouteScope.OPEN or scope in _ADMITTED[self]


_ADMITTED = {
    RouteScope.INFER: frozenset({KeyScope.INFER, KeyScope.LAUNCH, KeyScope.ADMIN}),
    RouteScope.LAUNCH: frozenset({KeyScope.LAUNCH, KeyScope.ADMIN}),
    RouteScope.ADMIN: frozenset({KeyScope.ADMIN}),
    RouteScope.METRICS: frozenset({KeyScope.METRICS, KeyScope.ADMIN}),
}
_ROUTES = (
    # Whether the server lives, and what a client has to know before it can show a key.
    ("GET", "/health", RouteScope.OPEN),
    ("GET", "/ping", RouteScope.OPEN),
    ("GET", "/v1/cluster/auth", RouteScope.OPEN),
    ("POST", "/token", RouteScope.OPEN),
    # A browser navigates without a key: the page and its files are the same for everybody, and lead to the login.
    ("GET", "/", RouteScope.OPEN),
    ("GET", "/ui", RouteScope.OPEN),
    ("GET", "/ui/{name:path}", RouteScope.OPEN),
    ("GET", "/v1/session", RouteScope.OPEN),
    ("POST", "/v1/session", RouteScope.OPEN),
    ("DELETE", "/v1/session", RouteScope.OPEN),
    # What this is.
    ("GET", "/openapi.json", RouteScope.INFER),
    ("GET", "/docs", RouteScope.INFER),
    ("GET", "/docs/swagger-ui-bundle.js", RouteScope.INFER),
    ("GET", "/docs/swagger-ui.css", RouteScope.INFER),
    ("GET", "/docs/favicon.png", RouteScope.INFER),
    ("GET", "/version", RouteScope.INFER),
    ("GET", "/v1/cluster/version", RouteScope.INFER),
    # The models that a key may use.
    ("GET", "/v1/models", RouteScope.INFER),
    ("GET", "/v1/models/{uid}", RouteScope.INFER),
    ("GET", "/anthropic/v1/models", RouteScope.INFER),
    ("GET", "/anthropic/v1/models/{uid}", RouteScope.INFER),
    ("POST", "/v1/models/{uid}/requests/{request_id:path}/abort", RouteScope.INFER),
    ("GET", "/v1/responses/{response_id}", RouteScope.INFER),
    ("DELETE", "/v1/responses/{response_id}", RouteScope.INFER),
    ("POST", "/v1/responses/{response_id}/cancel", RouteScope.INFER),
    ("GET", "/v1/responses/{response_id}/input_items", RouteScope.INFER),
    ("GET", "/v1/requests/{request_id}/progress", RouteScope.INFER),
    # The catalog.
    ("GET", "/v1/models/families", RouteScope.INFER),
    ("GET", "/v1/models/prompts", RouteScope.INFER),
    ("GET", "/v1/models/vllm-supported", RouteScope.INFER),
    ("GET", "/v1/models/{type}/{name}/versions", RouteScope.LAUNCH),
    ("GET", "/v1/engines/{name}", RouteScope.INFER),
    ("GET", "/v1/engines/{type}/{name}", RouteScope.INFER),
    ("GET", "/v1/model_registrations/{type}", RouteScope.INFER),
    ("GET", "/v1/model_registrations/{type}/{name}", RouteScope.INFER),
    # A family has arguments of the engine and paths; reading a path reads the server's disk.
    ("POST", "/v1/model_registrations/{type}", RouteScope.ADMIN),
    ("DELETE", "/v1/model_registrations/{type}/{name}", RouteScope.ADMIN),
    ("POST", "/v1/models/llm/auto-register", RouteScope.ADMIN),
    # The life of models.
    ("POST", "/v1/models", RouteScope.LAUNCH),
    ("POST", "/v1/models/instance", RouteScope.LAUNCH),
    ("GET", "/v1/models/instances", RouteScope.LAUNCH),
    ("DELETE", "/v1/models/{uid}", RouteScope.LAUNCH),
    ("GET", "/v1/models/{uid}/progress", RouteScope.LAUNCH),
    ("POST", "/v1/models/{uid}/cancel", RouteScope.LAUNCH),
    ("GET", "/v1/models/{uid}/events", RouteScope.LAUNCH),
    ("GET", "/v1/models/{uid}/log", RouteScope.LAUNCH),
    ("GET", "/v1/models/{uid}/replicas", RouteScope.LAUNCH),
    ("POST", "/v1/models/{uid}/replicas", RouteScope.LAUNCH),
    ("DELETE", "/v1/models/{uid}/replicas/{replica_id:int}", RouteScope.LAUNCH),
    ("POST", "/v1/models/{uid}/sleep", RouteScope.LAUNCH),
    ("POST", "/v1/models/{uid}/wake", RouteScope.LAUNCH),
    ("GET", "/v1/events", RouteScope.LAUNCH),
    ("GET", "/v1/stats", RouteScope.LAUNCH),
    # A benchmark loads the model like its users, with the key of whoever starts it.
    ("GET", "/v1/benchmarks", RouteScope.LAUNCH),
    ("POST", "/v1/benchmarks", RouteScope.LAUNCH),
    ("GET", "/v1/benchmarks/{run_id}", RouteScope.LAUNCH),
    ("DELETE", "/v1/benchmarks/{run_id}", RouteScope.LAUNCH),
    ("GET", "/v1/benchmarks/{run_id}/events", RouteScope.LAUNCH),
    ("GET", "/v1/models/{uid}/scale", RouteScope.LAUNCH),
    ("POST", "/v1/models/{uid}/scale", RouteScope.LAUNCH),
    # What would fit tells what the cluster has.
    ("GET", "/v1/catalog", RouteScope.LAUNCH),
    ("GET", "/v1/catalog/{name}", RouteScope.LAUNCH),
    # The cluster.
    ("GET", "/v1/nodes", RouteScope.LAUNCH),
    ("GET", "/v1/nodes/{node}", RouteScope.LAUNCH),
    # Requests of everybody, and what processes have said of themselves.
    ("GET", "/v1/nodes/{node}/log", RouteScope.ADMIN),
    ("POST", "/v1/nodes/{node}/drain", RouteScope.ADMIN),
    ("POST", "/v1/nodes/{node}/undrain", RouteScope.ADMIN),
    ("GET", "/status", RouteScope.LAUNCH),
    ("GET", "/v1/address", RouteScope.LAUNCH),
    ("GET", "/v1/supervisor", RouteScope.LAUNCH),
    ("GET", "/v1/workers", RouteScope.LAUNCH),
    ("GET", "/v1/cluster/info", RouteScope.LAUNCH),
    ("GET", "/v1/cluster/devices", RouteScope.LAUNCH),
    ("GET", "/v1/cache/models", RouteScope.LAUNCH),
    ("GET", "/v1/cache/models/files", RouteScope.LAUNCH),
    ("DELETE", "/v1/cache/models", RouteScope.ADMIN),
    ("POST", "/v1/cluster/drain", RouteScope.ADMIN),
    ("DELETE", "/v1/clusters", RouteScope.ADMIN),
    ("GET", "/metrics", RouteScope.METRICS),
    ("GET", "/metrics/engines", RouteScope.METRICS),
    ("GET", "/load", RouteScope.METRICS),
    ("GET", "/metrics/supervisor", RouteScope.METRICS),
    ("GET", "/metrics/haproxy", RouteScope.METRICS),
    ("GET", "/v1/metrics/targets", RouteScope.METRICS),
    ("GET", "/v1/traffic", RouteScope.METRICS),
    # Keys. Everybody may see what their own key is and has used.
    ("GET", "/v1/keys/self", RouteScope.INFER),
    ("GET", "/v1/keys", RouteScope.ADMIN),
    ("POST", "/v1/keys", RouteScope.ADMIN),
    ("GET", "/v1/keys/{key_id}", RouteScope.ADMIN),
    ("PATCH", "/v1/keys/{key_id}", RouteScope.ADMIN),
    ("DELETE", "/v1/keys/{key_id}", RouteScope.ADMIN),
    ("POST", "/v1/keys/{key_id}/rotate", RouteScope.ADMIN),
    ("GET", "/v1/usage", RouteScope.INFER),
    ("GET", "/v1/audit", RouteScope.ADMIN),
)
ROUTES = {(method, path): scope for method, path, scope in _ROUTES}
"""The scope of each route of the control plane. Those of the data plane all take a key that may infer."""
