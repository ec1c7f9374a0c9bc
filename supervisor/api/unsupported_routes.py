"""What Xinference's API has and xinfer's has not, as data: each with the sentence that a caller gets, with 404."""

from __future__ import annotations

from dataclasses import dataclass, field
from re import Pattern

from starlette.routing import compile_path

_ONLY_LANGUAGE = "xinfer serves language models only"
_ONE_ENVIRONMENT = "xinfer has one Python environment for all models: install what a model needs beside vLLM"
_NO_RELAUNCH = (
    "xinfer does not replace itself while it runs: `xinfer stop`, upgrade, `xinfer start` brings models back up"
)
_NO_USERS = "xinfer has keys and no users: `xinfer keys` and /v1/keys make and revoke them"
_NO_RELOAD = "xinfer does not change a model that runs: DELETE /v1/models/{uid} and launch it with the new options"
_NO_AUTOSTART = "xinfer brings every model that was not terminated back up by itself when it starts"
_NO_TOKEN_ROUTER = (
    "xinfer has no token router: POST /v1/models/{uid}/tokenize counts, and requests follow prefix caches anyway"
)
_NO_DOWNLOADS = "xinfer downloads as it launches: POST /v1/models?wait_ready=false, then GET /v1/models/{uid}/progress"
_NO_LOG_SEARCH = "xinfer keeps logs in files: GET /v1/models/{uid}/log has the end of a model's, `xinfer logs` shows it"
_NO_PAGES = "xinfer's console at /ui keeps its settings in the browser, and needs no route for them"


@dataclass(frozen=True, slots=True)
class UnsupportedRoutes:
    """Routes of Xinference. ``why`` has no full stop; ``methods`` that are empty mean all."""

    paths: tuple[str, ...]
    why: str
    methods: tuple[str, ...] = ()
    _patterns: tuple[Pattern[str], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_patterns", tuple(compile_path(path)[0] for path in self.paths))

    def holds(self, method: str, path: str) -> bool:
        """Whether this is such a route."""
        return (not self.methods or method in self.methods) and any(each.match(path) for each in self._patterns)


UNSUPPORTED = (
    UnsupportedRoutes(
        ("/v1/embeddings", "/v1/convert_ids_to_tokens", "/v1/rerank"), f"{_ONLY_LANGUAGE}, no embedding models"
    ),
    UnsupportedRoutes(
        ("/v1/images/{rest:path}", "/sdapi/{rest:path}", "/controlnet/{rest:path}"), f"{_ONLY_LANGUAGE}, no images"
    ),
    UnsupportedRoutes(("/v1/audio/{rest:path}",), f"{_ONLY_LANGUAGE}, no audio models"),
    UnsupportedRoutes(
        ("/v1/video/{rest:path}", "/v1/videos/{rest:path}", "/v1/worlds/{rest:path}"), f"{_ONLY_LANGUAGE}, no videos"
    ),
    UnsupportedRoutes(("/v1/flexible/infers",), f"{_ONLY_LANGUAGE}; a model of another kind needs a server of its own"),
    UnsupportedRoutes(("/v1/virtualenvs", "/v1/virtualenvs/{rest:path}"), _ONE_ENVIRONMENT),
    UnsupportedRoutes(("/v1/api/relaunch", "/v1/supervisor/relaunch", "/v1/workers/{address}/relaunch"), _NO_RELAUNCH),
    UnsupportedRoutes(
        (
            *("/v1/api-relaunches", "/v1/api-relaunches/{id}"),
            *("/v1/supervisor-relaunches", "/v1/supervisor-relaunches/{id}"),
            *("/v1/worker-relaunches", "/v1/worker-relaunches/{id}"),
        ),
        _NO_RELAUNCH,
    ),
    UnsupportedRoutes(("/v1/models/{uid}/reload", "/v1/models/{uid}/reload/config"), _NO_RELOAD),
    UnsupportedRoutes(("/v1/autostart/{rest:path}",), _NO_AUTOSTART),
    UnsupportedRoutes(
        ("/v1/models/recommend",), "xinfer has no planner; `xinfer models NAME` shows what each size needs", ("POST",)
    ),
    UnsupportedRoutes(
        ("/v1/models/update_type", "/v1/models/update_spec"), "xinfer's catalog comes with the package", ("POST",)
    ),
    UnsupportedRoutes(("/v1/cache/models",), _NO_DOWNLOADS, ("POST",)),
    UnsupportedRoutes(("/v1/cache/models/{cache_uid}/progress", "/v1/cache/models/{cache_uid}/cancel"), _NO_DOWNLOADS),
    UnsupportedRoutes(("/v1/downloads", "/v1/downloads/{rest:path}"), _NO_DOWNLOADS),
    UnsupportedRoutes(("/v1/auth/{rest:path}", "/v1/admin/{rest:path}", "/api/oidc/{rest:path}"), _NO_USERS),
    UnsupportedRoutes(("/v1/audit/{rest:path}",), "xinfer's audit log is GET /v1/audit; it has no prompts"),
    UnsupportedRoutes(("/v1/cluster/logs", "/v1/cluster/logs/{rest:path}"), _NO_LOG_SEARCH),
    UnsupportedRoutes(("/v1/cluster/runtime-logs", "/v1/cluster/runtime-logs/{rest:path}"), _NO_LOG_SEARCH),
    UnsupportedRoutes(("/v1/cluster/model-requests/{rest:path}",), "xinfer logs no prompts and no answers"),
    UnsupportedRoutes(("/v1/launch_history", "/v1/launch_history/{rest:path}", "/v1/model_favorites"), _NO_PAGES),
    UnsupportedRoutes(
        ("/v1/system_settings", "/v1/cluster/system_settings", "/v1/cluster/system_settings/reset"), _NO_PAGES
    ),
    UnsupportedRoutes(
        ("/v1/cluster/ui_config", "/v1/cluster/monitor_config", "/v1/cluster/monitor_config/{rest:path}"), _NO_PAGES
    ),
    UnsupportedRoutes(("/redoc",), "xinfer describes its API at /docs"),
    UnsupportedRoutes(("/v1/token_routers", "/v1/token_routers/{rest:path}"), _NO_TOKEN_ROUTER),
    UnsupportedRoutes(("/v1/tokenizer_assets", "/v1/tokenizer_assets/{rest:path}"), _NO_TOKEN_ROUTER),
    UnsupportedRoutes(("/v1/internal/token-router/{rest:path}",), _NO_TOKEN_ROUTER),
)


def why_unsupported(method: str, path: str) -> str | None:
    """The sentence for a route that Xinference has and xinfer has not; None for any other."""
    found = next((each for each in UNSUPPORTED if each.holds(method, path)), None)
    if found:
        return f"{found.why}."
    return None
