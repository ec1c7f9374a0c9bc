"""The blocking client."""

from __future__ import annotations

from typing import Self, TypeVar

import requests

from xinfer.client import _access_calls, _cache_calls, _calls, _node_calls, _registration_calls, _responses
from xinfer.client._calls import TIMEOUT_S, Call
from xinfer.client._connection import Connection
from xinfer.client._methods import method
from xinfer.client._retries import RetryPolicy
from xinfer.client.handles import RESTfulChatModelHandle, RESTfulGenerateModelHandle

T = TypeVar("T")


class RESTfulClient:
    """A server's models: launch, list, use and stop them. Errors are those of ``xinfer.errors``.

    ``base_url`` defaults to ``XINFER_ENDPOINT``, then to this machine. ``timeout`` is the longest silence in seconds,
    None for ever; ``max_retries`` counts attempts after the first, made only where they are safe. Nothing is sent
    before the first call. A ``session`` that is handed in stays the caller's to close. Threads may share a client.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float | None = TIMEOUT_S,
        max_retries: int = 2,
        session: requests.Session | None = None,
    ) -> None:
        self._connection = Connection(_calls.server_url(base_url), api_key, timeout, RetryPolicy(max_retries), session)

    @property
    def base_url(self) -> str:
        """The server's address, without a slash at its end."""
        return self._connection.url

    list_models = method(_calls.list_models)
    launch_model = method(_calls.launch_model)
    # For the command line, which prints why a model was chosen. launch_model returns only the UID, as Xinference's does.
    _launch_response = method(_calls.launch_response)
    terminate_model = method(_calls.terminate_model)
    describe_model = method(_calls.describe_model)
    get_launch_model_progress = method(_calls.get_launch_model_progress)
    cancel_launch_model = method(_calls.cancel_launch_model)
    sleep_model = method(_calls.sleep_model)
    wake_model = method(_calls.wake_model)
    traffic = method(_calls.traffic)
    stats = method(_calls.stats)
    list_benchmarks = method(_calls.list_benchmarks)
    start_benchmark = method(_calls.start_benchmark)
    get_benchmark = method(_calls.get_benchmark)
    end_benchmark = method(_calls.end_benchmark)
    catalog = method(_calls.catalog)
    catalog_family = method(_calls.catalog_family)
    abort_request = method(_calls.abort_request)
    add_model_replica = method(_calls.add_model_replica)
    terminate_model_replica = method(_calls.terminate_model_replica)
    scale_model = method(_calls.scale_model)
    get_model_scaling = method(_calls.get_model_scaling)
    get_model_log = method(_calls.get_model_log)
    get_model_events = method(_calls.get_model_events)
    get_instance_info = method(_calls.get_instance_info)
    register_model = method(_registration_calls.register_model)
    unregister_model = method(_registration_calls.unregister_model)
    list_model_registrations = method(_registration_calls.list_model_registrations)
    get_model_registration = method(_registration_calls.get_model_registration)
    suggest_registration = method(_registration_calls.suggest_registration)
    get_model_versions = method(_registration_calls.get_model_versions)
    query_engine_by_model_name = method(_registration_calls.query_engine_by_model_name)
    vllm_models = method(_registration_calls.vllm_models)
    families = method(_registration_calls.families)
    prompts = method(_registration_calls.prompts)
    list_cached_models = method(_cache_calls.list_cached_models)
    list_deletable_models = method(_cache_calls.list_deletable_models)
    confirm_and_remove_model = method(_cache_calls.confirm_and_remove_model)
    get_workers_info = method(_calls.get_workers_info)
    get_supervisor_info = method(_calls.get_supervisor_info)
    # Xinference's name.
    _get_supervisor_internal_address = method(_calls.get_supervisor_internal_address)
    get_metrics = method(_calls.get_metrics)
    get_scrape_targets = method(_calls.get_scrape_targets)
    get_progress = method(_calls.get_progress)
    cluster_info = method(_calls.cluster_info)
    list_nodes = method(_node_calls.list_nodes)
    get_node = method(_node_calls.get_node)
    get_node_log = method(_node_calls.get_node_log)
    drain_node = method(_node_calls.drain_node)
    undrain_node = method(_node_calls.undrain_node)
    status = method(_calls.status)
    abort_cluster = method(_calls.abort_cluster)
    create_key = method(_access_calls.create_key)
    list_keys = method(_access_calls.list_keys)
    get_key = method(_access_calls.get_key)
    get_own_key = method(_access_calls.get_own_key)
    update_key = method(_access_calls.update_key)
    rotate_key = method(_access_calls.rotate_key)
    revoke_key = method(_access_calls.revoke_key)
    get_usage = method(_access_calls.get_usage)
    get_audit_log = method(_access_calls.get_audit_log)

    def login(self, username: str, password: str) -> None:
        """Use a key from now on, as Xinference's clients log in: ``password`` is the key, ``username`` is not looked at.

        Nothing happens if the server requires no key.
        """
        if self._send(_calls.cluster_auth()):
            self._connection.use_key(self._send(_access_calls.log_in(username, password)))

    def get_model(self, model_uid: str) -> RESTfulGenerateModelHandle | RESTfulChatModelHandle:
        """A handle with the methods that the running model's abilities allow."""
        if _responses.can_chat(model_uid, self.describe_model(model_uid)):
            return RESTfulChatModelHandle(model_uid, self._connection)
        return RESTfulGenerateModelHandle(model_uid, self._connection)

    def close(self) -> None:
        """Close the connections. Harmless when done twice."""
        self._connection.close()

    def _send(self, call: Call[T]) -> T:
        return self._connection.send(call)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r})"
