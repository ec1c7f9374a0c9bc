"""What each method sends and what it makes of the reply."""

from __future__ import annotations

from typing import Any

import pytest

from tests.client.scripted_server import Answer, ScriptedServer
from xinfer.client import _calls
from xinfer.errors import AbilityNotSupported

CALLS: list[tuple[Any, ...]] = [
    ("terminate_model", ("m",), {}, "DELETE", "/v1/models/m", {}, None, None),
    ("describe_model", ("m",), {}, "GET", "/v1/models/m", {}, {"replica": 1}, {"replica": 1}),
    ("get_launch_model_progress", ("m",), {}, "GET", "/v1/models/m/progress", {}, {"progress": 0.5}, {"progress": 0.5}),
    ("sleep_model", ("m",), {}, "POST", "/v1/models/m/sleep", {}, None, None),
    ("wake_model", ("m",), {}, "POST", "/v1/models/m/wake", {}, None, None),
    ("traffic", (), {}, "GET", "/v1/traffic", {}, {"data": [{"at": 1.0}]}, [{"at": 1.0}]),
    ("stats", (), {}, "GET", "/v1/stats", {}, {"data": [{"kv_cache": 0.5}]}, [{"kv_cache": 0.5}]),
    ("list_benchmarks", (), {}, "GET", "/v1/benchmarks", {}, {"data": [{"id": "b"}]}, [{"id": "b"}]),
    ("start_benchmark", ("m", "chat"), {}, "POST", "/v1/benchmarks", {}, {"id": "b"}, {"id": "b"}),
    ("get_benchmark", ("b",), {}, "GET", "/v1/benchmarks/b", {}, {"id": "b"}, {"id": "b"}),
    ("end_benchmark", ("b",), {}, "DELETE", "/v1/benchmarks/b", {}, {"result": True}, None),
    ("catalog", (), {}, "GET", "/v1/catalog", {}, {"data": [{"name": "q"}]}, [{"name": "q"}]),
    ("catalog_family", ("q",), {}, "GET", "/v1/catalog/q", {}, {"models": []}, {"models": []}),
    ("cancel_launch_model", ("m",), {}, "POST", "/v1/models/m/cancel", {}, None, None),
    ("get_model_log", ("m",), {}, "GET", "/v1/models/m/log", {"lines": "100"}, {"replicas": []}, {"replicas": []}),
    ("get_model_log", ("m", 5), {}, "GET", "/v1/models/m/log", {"lines": "5"}, {"replicas": []}, {"replicas": []}),
    ("scale_model", ("m", 3), {}, "POST", "/v1/models/m/scale", {}, {"desired": 3}, {"desired": 3}),
    ("scale_model", ("m", 3), {"wait_ready": False}, "POST", "/v1/models/m/scale", {"wait_ready": "false"}, {}, {}),
    ("scale_model", ("m",), {"autoscaling_config": False}, "POST", "/v1/models/m/scale", {}, {}, {}),
    ("get_model_scaling", ("m",), {}, "GET", "/v1/models/m/scale", {}, {"desired": 3}, {"desired": 3}),
    ("get_instance_info", ("n", None), {}, "GET", "/v1/models/instances", {"model_name": "n"}, [], []),
    ("get_instance_info", (), {"model_uid": "u"}, "GET", "/v1/models/instances", {"model_uid": "u"}, [], []),
    ("list_model_registrations", ("LLM",), {}, "GET", "/v1/model_registrations/LLM", {"detailed": "false"}, [], []),
    ("list_model_registrations", ("LLM", True), {}, "GET", "/v1/model_registrations/LLM", {"detailed": "true"}, [], []),
    ("get_model_registration", ("LLM", "q"), {}, "GET", "/v1/model_registrations/LLM/q", {}, {}, {}),
    ("query_engine_by_model_name", ("q",), {}, "GET", "/v1/engines/LLM/q", {}, {}, {}),
    ("query_engine_by_model_name", ("q", None), {}, "GET", "/v1/engines/q", {}, {}, {}),
    ("register_model", ("LLM", "{}", True), {}, "POST", "/v1/model_registrations/LLM", {}, None, None),
    ("unregister_model", ("LLM", "q"), {}, "DELETE", "/v1/model_registrations/LLM/q", {}, None, None),
    ("suggest_registration", ("/m",), {}, "POST", "/v1/models/llm/auto-register", {}, {"version": 2}, {"version": 2}),
    ("get_model_versions", ("LLM", "q"), {}, "GET", "/v1/models/LLM/q/versions", {}, [], []),
    ("prompts", (), {}, "GET", "/v1/models/prompts", {}, {"q": {}}, {"q": {}}),
    ("_get_supervisor_internal_address", (), {}, "GET", "/v1/address", {}, "10.0.0.1:6379", "10.0.0.1:6379"),
    (
        "abort_request",
        ("u", "r/1", 5),
        {},
        "POST",
        "/v1/models/u/requests/r%2F1/abort",
        {},
        {"msg": "DONE"},
        {"msg": "DONE"},
    ),
    ("get_progress", ("r/1",), {}, "GET", "/v1/requests/r%2F1/progress", {}, {"progress": 1}, {"progress": 1}),
    ("vllm_models", (), {}, "GET", "/v1/models/vllm-supported", {}, {"chat": []}, {"chat": []}),
    ("families", (), {}, "GET", "/v1/models/families", {}, {"chat": []}, {"chat": []}),
    ("get_workers_info", (), {}, "GET", "/v1/workers", {}, [], []),
    ("get_supervisor_info", (), {}, "GET", "/v1/supervisor", {}, {}, {}),
    ("get_scrape_targets", ("ray",), {}, "GET", "/v1/metrics/targets", {"component": "ray"}, {}, {}),
    ("cluster_info", (), {"detailed": True}, "GET", "/v1/cluster/info", {"detailed": "true"}, [], []),
    ("status", (), {}, "GET", "/status", {}, {"uptime": 1}, {"uptime": 1}),
    ("list_cached_models", ("n",), {}, "GET", "/v1/cache/models", {"model_name": "n"}, {"list": [{}]}, [{}]),
    (
        "list_deletable_models",
        ("v", "ip"),
        {},
        "GET",
        "/v1/cache/models/files",
        {"model_version": "v", "worker_ip": "ip"},
        {"paths": []},
        {"paths": []},
    ),
    (
        "confirm_and_remove_model",
        ("v",),
        {},
        "DELETE",
        "/v1/cache/models",
        {"model_version": "v"},
        {"result": True},
        True,
    ),
    ("get_model_events", ("m",), {}, "GET", "/v1/models/m/events", {}, [], []),
    ("terminate_model_replica", ("m", 1), {}, "DELETE", "/v1/models/m/replicas/1", {}, {"remaining_replicas": 2}, 2),
    ("abort_cluster", (), {}, "DELETE", "/v1/clusters", {}, {"result": True}, {"result": True}),
    ("list_models", (), {}, "GET", "/v1/models", {}, {"data": [{"id": "a"}]}, {"a": {"id": "a"}}),
]


@pytest.mark.parametrize(("name", "args", "kwargs", "method", "path", "params", "reply", "value"), CALLS)
def test_a_method_is_one_request(
    client: Any,
    server: ScriptedServer,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    method: str,
    path: str,
    params: dict[str, str],
    reply: Any,
    value: Any,
) -> None:
    server.reply(method, path, reply)
    assert getattr(client, name)(*args, **kwargs) == value
    assert [(asked.method, asked.path, asked.params) for asked in server.asked] == [(method, path, params)]
    assert "authorization" not in server.asked[0].headers


def test_metrics_are_text(client: Any, server: ScriptedServer) -> None:
    server.answer("GET", "/metrics", Answer(pieces=[b"xinfer_nodes 1.0\n"]))
    assert client.get_metrics() == "xinfer_nodes 1.0\n"


def test_a_slash_at_the_end_of_the_address_does_not_matter(make_client: Any, server: ScriptedServer) -> None:
    server.reply("GET", "/status", {})
    client = make_client(server.url + "/")
    assert client.status() == {}
    assert client.base_url == server.url


def test_an_address_without_a_scheme_is_refused(make_client: Any) -> None:
    with pytest.raises(ValueError, match="expected http://host:port"):
        make_client("localhost:9997")


def test_uids_are_quoted(client: Any, server: ScriptedServer) -> None:
    server.reply("GET", "/v1/models/a%2Fb%20c%25%3Fd/progress", {})
    client.get_launch_model_progress("a/b c%?d")
    assert server.asked[0].target == "/v1/models/a%2Fb%20c%25%3Fd/progress"


def test_launch_sends_every_named_field_and_passes_the_rest_on(client: Any, server: ScriptedServer) -> None:
    server.reply("POST", "/v1/models", {"model_uid": "u"})
    uid = client.launch_model(
        "q", "LLM", "vLLM", "u", 0.6, "pytorch", "none", 2, max_num_seqs=8, enable_thinking=True, request_limits=64
    )
    assert uid == "u"
    assert server.asked[0].params == {}
    assert server.asked[0].body == {
        "model_name": "q",
        "model_type": "LLM",
        "model_engine": "vLLM",
        "model_uid": "u",
        "model_size_in_billions": "0.6",
        "model_format": "pytorch",
        "quantization": "none",
        "replica": 2,
        "n_worker": 1,
        "n_gpu": "auto",
        "peft_model_config": None,
        "request_limits": 64,
        "worker_ip": None,
        "gpu_idx": None,
        "replica_config": None,
        "model_path": None,
        "enable_thinking": True,
        "enable_virtual_env": None,
        "virtual_env_packages": None,
        "envs": None,
        "virtual_env_find_links": None,
        "max_num_seqs": 8,
    }


def test_wait_ready_travels_in_the_query(client: Any, server: ScriptedServer) -> None:
    server.reply("POST", "/v1/models", {"model_uid": "u"})
    client.launch_model("q", wait_ready=False)
    assert server.asked[0].params == {"wait_ready": "false"}
    assert "wait_ready" not in server.asked[0].body


@pytest.mark.parametrize(
    ("args", "kwargs", "params", "more"),
    [
        ((), {}, {}, {}),
        ((None, 2), {}, {}, {"replica": 2}),
        ((), {"n_gpu": 0.5, "model_engine": "vLLM"}, {}, {"n_gpu": 0.5, "model_engine": "vLLM"}),
        ((), {"wait_ready": False}, {"wait_ready": "false"}, {}),
    ],
)
def test_replicas_are_added(
    client: Any,
    server: ScriptedServer,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    params: dict[str, str],
    more: dict[str, Any],
) -> None:
    reply = {"replica_id": 1, "replica_model_uid": "m-rep1", "worker_address": "10.0.0.1"}
    server.reply("POST", "/v1/models/m/replicas", reply)
    assert client.add_model_replica("m", *args, **kwargs) == reply
    assert server.asked[0].params == params
    unset = {"replica": 1, "replica_config": None, "model_engine": None, "n_gpu": None}
    assert server.asked[0].body == {**unset, **more}


@pytest.mark.parametrize("model", ['{"model_name": "w"}', {"model_name": "w"}])
def test_a_family_is_registered_as_a_string(client: Any, server: ScriptedServer, model: Any) -> None:
    server.reply("POST", "/v1/model_registrations/LLM", None)
    assert client.register_model("LLM", model, False) is None
    assert server.asked[0].body == {"model": '{"model_name": "w"}', "worker_ip": None, "persist": False}


@pytest.mark.parametrize(("size", "sent"), [(8, 8), (8.0, 8), (1.8, "1.8"), ("1_8", "1_8"), (None, None)])
def test_sizes(size: Any, sent: Any) -> None:
    assert (_calls.launch_model("q", model_size_in_billions=size).body or {})["model_size_in_billions"] == sent


def test_generate(client: Any, server: ScriptedServer) -> None:
    server.reply("POST", "/v1/completions", {"choices": [{"text": "x"}]})
    reply = client.get_model("m").generate("Once", {"max_tokens": 3})
    assert reply == {"choices": [{"text": "x"}]}
    assert server.asked[-1].body == {"model": "m", "prompt": "Once", "max_tokens": 3}


MESSAGES = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("args", "kwargs", "more"),
    [
        ((), {}, {}),
        (([{"type": "function"}],), {}, {"tools": [{"type": "function"}]}),
        ((None, False), {}, {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}}),
        ((None, None, {"seed": 1}), {}, {"seed": 1}),
        (
            (None, True),
            {"generate_config": {"chat_template_kwargs": {"a": 1, "thinking": False}}},
            {"chat_template_kwargs": {"a": 1, "enable_thinking": True, "thinking": True}},
        ),
        (
            (None, True),
            {"generate_config": {"chat_template_kwargs": '{"a": 1}'}},
            {"chat_template_kwargs": {"a": 1, "enable_thinking": True, "thinking": True}},
        ),
        (
            (None, True),
            {"generate_config": {"chat_template_kwargs": "junk"}},
            {"chat_template_kwargs": {"enable_thinking": True, "thinking": True}},
        ),
        (
            (None, True),
            {"generate_config": {"chat_template_kwargs": [1]}},
            {"chat_template_kwargs": {"enable_thinking": True, "thinking": True}},
        ),
    ],
)
def test_chat(
    client: Any, server: ScriptedServer, args: tuple[Any, ...], kwargs: dict[str, Any], more: dict[str, Any]
) -> None:
    server.reply("POST", "/v1/chat/completions", {"choices": []})
    assert client.get_model("m").chat(MESSAGES, *args, **kwargs) == {"choices": []}
    assert server.asked[-1].body == {"model": "m", "messages": MESSAGES, **more}


def test_the_callers_config_is_left_alone(client: Any, server: ScriptedServer) -> None:
    server.reply("POST", "/v1/chat/completions", {})
    config = {"chat_template_kwargs": {"a": 1}}
    client.get_model("m").chat(MESSAGES, enable_thinking=True, generate_config=config)
    assert config == {"chat_template_kwargs": {"a": 1}}


def test_the_handle_follows_the_abilities(client: Any, server: ScriptedServer) -> None:
    assert hasattr(client.get_model("m"), "chat")
    server.reply("GET", "/v1/models/g", {"model_type": "LLM", "model_ability": ["generate"]})
    assert not hasattr(client.get_model("g"), "chat")
    server.reply("GET", "/v1/models/e", {"model_type": "embedding", "model_ability": []})
    with pytest.raises(AbilityNotSupported):
        client.get_model("e")
