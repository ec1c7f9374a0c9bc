"""Every call of the REST API as a value: what to send and how to read the response. Both clients share it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeAlias, TypeVar
from urllib.parse import quote

from xinfer import settings
from xinfer.model_size import size_as_int_or_text
from xinfer.settings import EngineSettings
from xinfer.wire.paths import CHAT, COMPLETIONS

TIMEOUT_S = 600.0
"""Default of a client's ``timeout``: the longest silence before a response, or within one."""
CONNECT_TIMEOUT_S = 10.0
LAUNCH_TIMEOUT_S = EngineSettings().start_timeout_s + 60.0
"""A launch that waits gets its response when the engine is up, or when the server has given it up."""

Json: TypeAlias = dict[str, Any]
T = TypeVar("T")


def _whole(response: Any) -> Any:
    return response


def _data(response: Any) -> Any:
    return response["data"]


def _nothing(_: Any) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request. ``read`` turns the JSON of a successful response into the method's return value."""

    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    read: Callable[[Any], T]
    body: Json | None = None
    params: Mapping[str, str | list[str]] = field(default_factory=dict)
    repeatable: bool = True
    """Whether it may be sent again after the server refused it for now."""
    is_text: bool = False
    """The response is plain text, which ``read`` gets."""
    waits_for_launch: bool = False
    """The response comes only when a model is ready, so the client's own timeout is too short."""

    @property
    def streams(self) -> bool:
        """Whether the response is a stream of events."""
        return bool(self.body and self.body.get("stream"))

    def read_timeout_s(self, timeout: float | None) -> float | None:
        """The longest silence allowed on the connection; None is no limit."""
        if timeout is None or not self.waits_for_launch:
            return timeout
        return max(timeout, LAUNCH_TIMEOUT_S)


def server_url(base_url: str | None) -> str:
    """The server's address without a trailing slash; the configured endpoint for None."""
    url = (base_url or settings.endpoint()).rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"base_url={url!r}: expected http://host:port")
    return url


def _params(**values: Any) -> dict[str, str]:
    """Query parameters in JSON's spelling; absent ones are left out."""
    params: dict[str, str] = {}
    for name, value in values.items():
        if value is None:
            continue
        text = str(value)
        if isinstance(value, bool):
            text = text.lower()
        params[name] = text
    return params


def _quoted(name: str) -> str:
    return quote(name, safe="")


def _model(uid: str, rest: str = "") -> str:
    return f"/v1/models/{_quoted(uid)}{rest}"


def cluster_auth() -> Call[bool]:
    """Whether the server requires an API key."""
    return Call("GET", "/v1/cluster/auth", lambda response: bool(response["auth"]))


def list_models() -> Call[dict[str, Json]]:
    """The running models, by UID."""
    return Call("GET", "/v1/models", lambda response: {item["id"]: item for item in response["data"]})


def launch_model(
    model_name: str,
    model_type: str = "LLM",
    model_engine: str | None = None,
    model_uid: str | None = None,
    model_size_in_billions: int | float | str | None = None,
    model_format: str | None = None,
    quantization: str | None = None,
    replica: int = 1,
    n_worker: int = 1,
    n_gpu: int | float | str | None = "auto",
    peft_model_config: Json | None = None,
    request_limits: int | None = None,
    worker_ip: str | None = None,
    gpu_idx: int | list[int] | None = None,
    replica_config: list[Json] | None = None,
    model_path: str | None = None,
    enable_thinking: bool | None = None,
    enable_virtual_env: bool | None = None,
    virtual_env_packages: list[str] | None = None,
    envs: dict[str, str] | None = None,
    virtual_env_find_links: list[str] | None = None,
    **kwargs: Any,
) -> Call[str]:
    """Launch a model and return its UID, by default when it is ready. ``wait_ready=False`` returns at once.

    ``idle_timeout`` (seconds without a request after which it sleeps), ``kv_cache_gib`` and ``autoscaling_config`` (a dict with
    Ray Serve's names, as ``scale_model`` takes it) may be given as well. ``wait_for_capacity=True`` waits for nodes that are yet
    to come, instead of being refused, and ``pack=True`` has replicas share nodes. Each replica spans ``n_worker`` nodes, with
    ``n_gpu`` GPUs on each.
    Further keywords go to the engine.
    """
    wait_ready = kwargs.pop("wait_ready", None)
    body: Json = {
        "model_name": model_name,
        "model_type": model_type,
        "model_engine": model_engine,
        "model_uid": model_uid,
        "model_size_in_billions": _size(model_size_in_billions),
        "model_format": model_format,
        "quantization": quantization,
        "replica": replica,
        "n_worker": n_worker,
        "n_gpu": n_gpu,
        "peft_model_config": peft_model_config,
        "request_limits": request_limits,
        "worker_ip": worker_ip,
        "gpu_idx": gpu_idx,
        "replica_config": replica_config,
        "model_path": model_path,
        "enable_thinking": enable_thinking,
        "enable_virtual_env": enable_virtual_env,
        "virtual_env_packages": virtual_env_packages,
        "envs": envs,
        "virtual_env_find_links": virtual_env_find_links,
        **kwargs,
    }
    return Call(
        "POST",
        "/v1/models",
        lambda response: str(response["model_uid"]),
        body,
        _params(wait_ready=wait_ready),
        repeatable=False,
        waits_for_launch=wait_ready is None or bool(wait_ready),
    )


def launch_response(model_name: str, **options: Any) -> Call[Json]:
    """Launch a model as ``launch_model`` does; returns ``model_uid`` and, if a model was chosen, ``why``."""
    launch = launch_model(model_name, **options)
    return Call(
        launch.method,
        launch.path,
        _whole,
        launch.body,
        launch.params,
        repeatable=launch.repeatable,
        waits_for_launch=launch.waits_for_launch,
    )


def _size(size: int | float | str | None) -> int | str | None:
    # Xinference's client does the same, as that REST API takes no floats.
    if isinstance(size, float):
        return size_as_int_or_text(size)
    return size


def terminate_model(model_uid: str) -> Call[None]:
    """Stop a model and free what it holds."""
    return Call("DELETE", _model(model_uid), _nothing)


def describe_model(model_uid: str) -> Call[Json]:
    """Everything the server says of one model."""
    return Call("GET", _model(model_uid), _whole)


def get_launch_model_progress(model_uid: str) -> Call[Json]:
    """How far a launch has come: ``progress`` from 0 to 1, ``stage``, the time of each of the ``stages``.

    The same for each of ``replicas``, with the ``download`` in bytes.
    """
    return Call("GET", _model(model_uid, "/progress"), _whole)


def cancel_launch_model(model_uid: str) -> Call[None]:
    """Cancel a launch and stop whatever it has started."""
    return Call("POST", _model(model_uid, "/cancel"), _nothing)


def sleep_model(model_uid: str) -> Call[None]:
    """Have a ready model sleep: its replicas end until a request, or ``wake_model``, needs them.

    Returns when it sleeps. Raises ``Conflict`` if it is not ready, or has requests under way.
    """
    return Call("POST", _model(model_uid, "/sleep"), _nothing)


def wake_model(model_uid: str) -> Call[None]:
    """Begin to wake a sleeping model; ``get_launch_model_progress`` tells how far it is."""
    return Call("POST", _model(model_uid, "/wake"), _nothing)


def traffic() -> Call[list[Json]]:
    """The requests of the last hour in periods of a few seconds, oldest first."""
    return Call("GET", "/v1/traffic", _data)


def stats() -> Call[list[Json]]:
    """What each model does now: ``tokens_per_s``, ``ttft_s``, ``kv_cache``, ``in_flight``; the requests of its last hour."""
    return Call("GET", "/v1/stats", _data)


def list_benchmarks() -> Call[list[Json]]:
    """The latest benchmarks, without their results."""
    return Call("GET", "/v1/benchmarks", _data)


def start_benchmark(model_uid: str, profile: str = "quick") -> Call[Json]:
    """Have the cluster load a model and measure it; ``get_benchmark`` tells how far it is. Raises ``Conflict`` while one runs."""
    body = {"model_uid": model_uid, "profile": profile}
    return Call("POST", "/v1/benchmarks", _whole, body, repeatable=False)


def get_benchmark(benchmark_id: str) -> Call[Json]:
    """A benchmark: its ``state``, the metrics of its ``legs``, and its ``result`` when it is done."""
    return Call("GET", f"/v1/benchmarks/{_quoted(benchmark_id)}", _whole)


def end_benchmark(benchmark_id: str) -> Call[None]:
    """Cancel a benchmark that is under way; forget one that has ended."""
    return Call("DELETE", f"/v1/benchmarks/{_quoted(benchmark_id)}", _nothing)


def catalog() -> Call[list[Json]]:
    """Every family with ``fit``: what a launch by its name would choose on the GPUs that are free now, and why."""
    return Call("GET", "/v1/catalog", _data)


def catalog_family(model_name: str) -> Call[Json]:
    """One family with ``models``: all its sizes, formats and quantizations, and which of them fit now."""
    return Call("GET", f"/v1/catalog/{_quoted(model_name)}", _whole)


def abort_request(model_uid: str, request_id: str, block_duration: float = 30) -> Call[Json]:
    """Abort the requests with this ``request_id`` in their body; ``msg`` is ``DONE``, or ``NOT_FOUND`` for none.

    Requests with that id that arrive within ``block_duration`` seconds are refused.
    """
    body = {"block_duration": block_duration}
    return Call("POST", _model(model_uid, f"/requests/{_quoted(request_id)}/abort"), _whole, body)


def add_model_replica(
    model_uid: str,
    replica_config: list[Json] | None = None,
    replica: int = 1,
    model_engine: str | None = None,
    n_gpu: int | float | str | None = None,
    wait_ready: bool | None = None,
) -> Call[Json]:
    """Add ``replica`` replicas to a running model; by default returns when they have completed their first prompt.

    One comes back as ``replica_id``, ``replica_model_uid`` and ``worker_address``, several as a list of these in
    ``replicas``. They are all like the ones that run.
    """
    body = {
        "replica": replica,
        "replica_config": replica_config,
        "model_engine": model_engine,
        "n_gpu": n_gpu,
    }
    return Call(
        "POST",
        _model(model_uid, "/replicas"),
        _whole,
        body,
        _params(wait_ready=wait_ready),
        repeatable=False,
        waits_for_launch=wait_ready is None or wait_ready,
    )


def scale_model(
    model_uid: str,
    replicas: int | None = None,
    autoscaling_config: Json | Literal[False] | None = None,
    wait_ready: bool | None = None,
) -> Call[Json]:
    """Set the number of a model's replicas, which ends autoscaling, or how that number follows the load; one of the two.

    ``autoscaling_config`` may have ``min_replicas``, ``max_replicas``, ``target_ongoing_requests`` or ``target_ttft_s``,
    ``upscale_delay_s``, ``downscale_delay_s``, ``downscale_to_zero_delay_s``, ``drain_timeout_s``, ``priority`` and
    ``schedules``; what is left out stays as it is, and False ends autoscaling. Returns what ``get_model_scaling`` does, by
    default when additional replicas are ready.
    """
    body: Json = {}
    if replicas is not None:
        body["replicas"] = replicas
    if autoscaling_config is not None:
        body["autoscaling_config"] = autoscaling_config
    return Call(
        "POST",
        _model(model_uid, "/scale"),
        _whole,
        body,
        _params(wait_ready=wait_ready),
        waits_for_launch=wait_ready is None or wait_ready,
    )


def get_model_scaling(model_uid: str) -> Call[Json]:
    """How a model is scaled: ``desired``, ``ready``, ``starting`` and ``leaving`` replicas, and the last ten ``decisions``."""
    return Call("GET", _model(model_uid, "/scale"), _whole)


def terminate_model_replica(model_uid: str, replica_id: int) -> Call[int]:
    """Remove the least busy replica and return how many remain; removing the last terminates the model."""
    return Call(
        "DELETE", _model(model_uid, f"/replicas/{replica_id}"), lambda response: int(response["remaining_replicas"])
    )


def get_model_log(model_uid: str, lines: int = 100) -> Call[Json]:
    """The last ``lines`` of the engine's log, for each of ``replicas``; after a failed launch, the failed engine's."""
    return Call("GET", _model(model_uid, "/log"), _whole, params=_params(lines=lines))


def get_model_events(model_uid: str) -> Call[list[Json]]:
    """The last hundred events of a model, oldest first, also after it was terminated."""
    return Call("GET", _model(model_uid, "/events"), _whole)


def get_instance_info(model_name: str | None = None, model_uid: str | None = None) -> Call[list[Json]]:
    """The models and their replicas with their states, those still on their way up included."""
    return Call("GET", "/v1/models/instances", _whole, params=_params(model_name=model_name, model_uid=model_uid))


def get_workers_info() -> Call[list[Json]]:
    """The worker nodes and the models on them."""
    return Call("GET", "/v1/workers", _whole)


def get_supervisor_info() -> Call[Json]:
    """The address of the supervisor's node."""
    return Call("GET", "/v1/supervisor", _whole)


def get_supervisor_internal_address() -> Call[str]:
    """Ray's address, which nodes join."""
    return Call("GET", "/v1/address", _whole)


def get_metrics() -> Call[str]:
    """The metrics of all supervisors together, in Prometheus' text format."""
    return Call("GET", "/metrics", _whole, is_text=True)


def get_scrape_targets(component: Literal["supervisor", "engine", "haproxy", "ray"] | None = None) -> Call[list[Json]]:
    """Where the cluster's metrics are, as Prometheus' ``http_sd_configs`` reads it; only one kind with ``component``."""
    return Call("GET", "/v1/metrics/targets", _whole, params=_params(component=component))


def get_progress(request_id: str) -> Call[Json]:
    """The progress of an image or video request; NotFound for text, whose progress is its stream."""
    return Call("GET", f"/v1/requests/{_quoted(request_id)}/progress", _whole)


def cluster_info(detailed: bool = False) -> Call[list[Json]]:
    """The nodes and their devices; ``detailed`` adds what is in use."""
    return Call("GET", "/v1/cluster/info", _whole, params=_params(detailed=detailed))


def status() -> Call[Json]:
    """Uptime and the state of each worker."""
    return Call("GET", "/status", _whole)


def abort_cluster() -> Call[Json]:
    """Stop every node of the cluster."""
    return Call("DELETE", "/v1/clusters", _whole, repeatable=False)


def generate(model_uid: str, prompt: str, config: Mapping[str, Any] | None) -> Call[Json]:
    """A completion; ``config`` is merged into the body."""
    return Call("POST", COMPLETIONS, _whole, {"model": model_uid, "prompt": prompt, **(config or {})})


def chat(
    model_uid: str,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None,
    enable_thinking: bool | None,
    config: Mapping[str, Any] | None,
) -> Call[Json]:
    """A chat completion; ``config`` is merged into the body."""
    body: Json = {"model": model_uid, "messages": list(messages)}
    if tools is not None:
        body["tools"] = list(tools)
    body |= config or {}
    if enable_thinking is not None:
        switch = {"enable_thinking": enable_thinking, "thinking": enable_thinking}
        body["chat_template_kwargs"] = {**_template_kwargs(body.get("chat_template_kwargs")), **switch}
    return Call("POST", CHAT, _whole, body)


def _template_kwargs(given: Any) -> Json:
    """The caller's own ``chat_template_kwargs``, a dict or its JSON; anything else counts as empty."""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            return {}
    if isinstance(given, Mapping):
        return dict(given)
    return {}
