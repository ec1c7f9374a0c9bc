"""From a launch request to a model's record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from supervisor.launching.launch_request import LaunchRequest
from supervisor.launching.resolve import resolve
from worker.command import flags
from xinfer.catalog import Catalog, Family
from xinfer.catalog.gpu_places import NodeGpus
from xinfer.catalog.memory import GIB
from xinfer.errors import LaunchRefused, ThinkingNotSupported
from xinfer.messages import ModelSpec, ReasoningOutput, Resume, ThinkingMode
from xinfer.settings import RUST_FRONTEND

CLIENTS_BODY: dict[str, Any] = {
    "model_uid": None,
    "model_name": "qwen3",
    "model_engine": "vllm",
    "peft_model_config": None,
    "model_type": "LLM",
    "model_size_in_billions": "0_6",
    "model_format": "pytorch",
    "quantization": None,
    "replica": 1,
    "n_worker": 1,
    "n_gpu": "auto",
    "request_limits": None,
    "worker_ip": None,
    "gpu_idx": None,
    "model_path": None,
    "enable_virtual_env": None,
    "virtual_env_packages": None,
    "envs": None,
    "enable_thinking": None,
    "replica_config": None,
    "download_hub": None,
}
"""What ``xinference-client`` 4.1.0 sends for ``launch_model("qwen3", "vllm", model_size_in_billions=0.6)``."""


UNKNOWN = NodeGpus(8, 8)
"""A node with GPUs that does not tell of their memory."""


def launch(uids: tuple[str, ...] = (), nodes: tuple[NodeGpus, ...] = (), **body: Any) -> ModelSpec:
    return resolve(LaunchRequest.read(body), uids=uids, nodes=nodes)


def refused(**body: Any) -> LaunchRefused:
    with pytest.raises(LaunchRefused) as caught:
        launch(**body)
    assert caught.value.status == 400
    return caught.value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model that is in no catalog."""
    path = tmp_path / "My-Model_7B"
    path.mkdir()
    config = {"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 2048}
    (path / "config.json").write_text(json.dumps(config))
    return path


def test_body_of_xinference_s_client() -> None:
    spec = launch(**CLIENTS_BODY)
    family = Catalog.load().family("qwen3")
    assert (spec.uid, spec.name, spec.path, spec.format) == ("qwen3", "qwen3", "Qwen/Qwen3-0.6B", "pytorch")
    assert (spec.size_in_billions, spec.quantization) == ("0.6", "none")
    assert (spec.replicas, spec.gpus, spec.engine, spec.engine_args, spec.env) == (1, 0, "vllm", {}, {})
    assert spec.abilities == family.abilities
    assert spec.thinking == family.thinking_switch()
    assert (spec.context_length, spec.usual_context_length) == (None, 40960)
    assert (spec.reasoning_parser, spec.tool_parser) == ("qwen3", "hermes")
    assert spec.created_at > 0


def test_limit_of_requests_is_the_supervisor_s_unless_it_is_said() -> None:
    assert launch(model_name="qwen3").request_limits is None
    assert launch(model_name="qwen3", request_limits=None).request_limits is None
    spec = launch(model_name="qwen3", request_limits=1)
    assert (spec.request_limits, "request_limits" in spec.engine_args) == (1, False)


def test_unset_fields_may_be_null_or_absent() -> None:
    nulls = {**dict.fromkeys(LaunchRequest.model_fields), "model_name": "qwen3"}
    spec = launch(**nulls)
    assert (spec.uid, spec.engine, spec.replicas, spec.gpus, spec.trust_remote_code) == ("qwen3", "vllm", 1, 0, False)
    assert launch(model_name="qwen3").path == spec.path


def test_everything_that_can_be_asked_for() -> None:
    spec = launch(
        model_name="qwen3",
        model_uid="mine",
        model_size_in_billions=8,
        model_format="awq",
        quantization="int4",
        revision="abc",
        context_length=1024,
        replica=2,
        request_limits=64,
        idle_timeout=90,
        kv_cache_gib=1.5,
        n_gpu=2,
        enable_thinking=False,
        trust_remote_code=True,
        envs={"A": "b"},
        max_num_seqs=4,
        **{"gpu-memory-utilization": 0.5, "left_out": None},
    )
    assert (spec.uid, spec.path, spec.format, spec.quantization) == ("mine", "Qwen/Qwen3-8B-AWQ", "awq", "Int4")
    assert (spec.revision, spec.context_length, spec.replicas, spec.gpus) == ("abc", 1024, 2, 2)
    assert (spec.request_limits, spec.enable_thinking, spec.trust_remote_code) == (64, False, True)
    assert (spec.idle_timeout_s, spec.kv_cache_gib) == (90, 1.5)
    assert spec.env == {"A": "b"}
    assert spec.engine_args == {"max_num_seqs": 4, "gpu_memory_utilization": 0.5}


@pytest.mark.parametrize(
    ("n_gpu", "has_gpus", "gpus"),
    [
        ("auto", False, 0),
        ("auto", True, 1),
        (None, True, 0),
        ("none", True, 0),
        ("None", True, 0),
        (0, True, 0),
        (1, True, 1),
        (4, False, 4),
        ("2", True, 2),
        (0.25, True, 0.25),
        ("0.5", True, 0.5),
        (2.0, True, 2),
    ],
)
def test_n_gpu(n_gpu: Any, has_gpus: bool, gpus: float) -> None:
    assert launch(model_name="qwen3", n_gpu=n_gpu, nodes=(UNKNOWN,) if has_gpus else ()).gpus == gpus


@pytest.mark.parametrize(("n_gpu", "gpus"), [("auto", 1), (None, 0), (0.5, 0.5), (2, 2)])
def test_model_with_a_path_gets_the_gpus_that_are_asked_for(folder: Path, n_gpu: Any, gpus: float) -> None:
    spec = launch(model_path=str(folder), n_gpu=n_gpu, nodes=(NodeGpus(8, 8, 80 * GIB, 9.0),))
    assert (spec.gpus, spec.context_length, spec.chosen_because) == (gpus, None, "")


@pytest.mark.parametrize("n_gpu", [-1, "-1", 1.5, "many", "nan", "inf", "-inf", "1e400", [1], {}])
def test_n_gpu_that_is_none(n_gpu: Any) -> None:
    assert (refused(model_name="qwen3", n_gpu=n_gpu).param or "").startswith("n_gpu")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "model_name"),
        ({"model_name": ""}, "model_name"),
        ({"model_name": 1}, "model_name"),
        ({"model_name": "no-such-family"}, "model_name"),
        ({"model_name": "qwen3", "model_size_in_billions": 7}, "model_size_in_billions"),
        ({"model_name": "qwen3", "model_size_in_billions": "junk"}, "model_size_in_billions"),
        ({"model_name": "qwen3", "model_format": "ggufv2"}, "model_format"),
        ({"model_name": "qwen3", "quantization": "q4"}, "quantization"),
        ({"model_name": "qwen3", "model_type": "embedding"}, "model_type"),
        ({"model_name": "qwen3", "model_engine": "llama.cpp"}, "model_engine"),
        ({"model_name": "qwen3", "model_engine": 5}, "model_engine"),
        ({"model_name": "qwen3", "replica": 0}, "replica"),
        ({"model_name": "qwen3", "replica": 10**6}, "replica"),
        ({"model_name": "qwen3", "replica": "two"}, "replica"),
        ({"model_name": "qwen3", "n_worker": 0}, "n_worker"),
        ({"model_name": "qwen3", "n_worker": 2, "worker_ip": "10.0.0.2"}, "worker_ip"),
        ({"model_name": "qwen3", "n_worker": 2, "n_gpu": 0.5}, "n_gpu"),
        ({"model_name": "qwen3", "n_worker": 2, "n_gpu": 2, "tensor_parallel_size": 3}, "tensor_parallel_size"),
        ({"model_name": "qwen3", "request_limits": 0}, "request_limits"),
        ({"model_name": "qwen3", "request_limits": -1}, "request_limits"),
        ({"model_name": "qwen3", "request_limits": "some"}, "request_limits"),
        *(
            ({"model_name": "qwen3", name: value}, name)
            for name in ("idle_timeout", "kv_cache_gib")
            for value in (0, -1, "soon", "nan", "inf", [1])
        ),
        ({"model_name": "qwen3", "context_length": 0}, "context_length"),
        ({"model_name": "qwen3", "context_length": "long"}, "context_length"),
        ({"model_name": "qwen3", "enable_thinking": "maybe"}, "enable_thinking"),
        ({"model_name": "qwen3", "reasoning_content": "inline"}, "reasoning_content"),
        ({"model_name": "qwen3", "include_reasoning": 7}, "include_reasoning"),
        ({"model_name": "qwen3", "resume": "often"}, "resume"),
        ({"model_name": "qwen3", "envs": {"A": None}}, "envs.A"),
        ({"model_name": "qwen3", "envs": ["A=b"]}, "envs"),
        ({"model_name": "qwen3", "envs": {RUST_FRONTEND: "1"}}, "envs"),
        ({"model_name": "qwen3", "gpu_idx": [0]}, "gpu_idx"),
        ({"model_name": "qwen3", "worker_ip": 7}, "worker_ip"),
        ({"model_name": "qwen3", "node_labels": {"gpu": "in(a,b)"}}, "node_labels"),
        ({"model_name": "qwen3", "node_labels": {"ray.io/node-id": "a"}}, "node_labels"),
        ({"model_name": "qwen3", "node_labels": "gpu=A100"}, "node_labels"),
        ({"model_name": "qwen3", "wait_for_capacity": True}, "n_gpu"),
        ({"model_name": "qwen3", "wait_for_capacity": True, "n_gpu": 1, "worker_ip": "10.0.0.1"}, "worker_ip"),
        ({"model_name": "qwen3", "wait_for_capacity": "long", "n_gpu": 1}, "wait_for_capacity"),
        ({"model_name": "qwen3", "peft_model_config": {}}, "peft_model_config"),
        ({"model_name": "qwen3", "replica_config": []}, "replica_config"),
        ({"model_uid": "../etc", "model_name": "qwen3"}, "model_uid"),
        ({"model_uid": "a/b", "model_name": "qwen3"}, "model_uid"),
        ({"model_uid": "m-rep1", "model_name": "qwen3"}, "model_uid"),
        ({"model_uid": "m\n", "model_name": "qwen3"}, "model_uid"),
        ({"model_uid": "m" * 101, "model_name": "qwen3"}, "model_uid"),
        ({"model_path": "/no/such/folder"}, "model_path"),
        ({"model_path": "~nobody-at-all/x"}, "model_path"),
        ({"model_path": "/etc/passwd"}, "model_path"),
        ({"model_path": "a\0b"}, "model_path"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_launch_that_cannot_work_names_the_field(body: dict[str, Any], param: str) -> None:
    assert refused(**body).param == param


@pytest.mark.parametrize(
    "name",
    [
        *(
            "host",
            "port",
            "uds",
            "middleware",
            "api_key",
            "api-key",
            "served-model-name",
            "ssl_keyfile",
            "config",
            "headless",
        ),
        *("midd", "served", "api-k", "ho", "config.x", "middleware.x"),  # vLLM's parser takes beginnings
        *("ssl-keyfile=/etc/shadow", "seed=1", "", "--seed", "-O3", "se ed", "a\nb", "é"),
    ],
)
@pytest.mark.parametrize("value", ["x", True])
def test_engine_arguments_that_are_not_the_caller_s(name: str, value: Any) -> None:
    refused(model_name="qwen3", **{name: value})


@pytest.mark.parametrize("name", ["gpu_memory_utilization", "gpu-memory-utilization", "gpu_mem", "gpu"])
@pytest.mark.parametrize("value", [0.6, "0.6", 1, 1.0, "1"])
def test_share_of_memory_beyond_the_share_of_the_gpu(name: str, value: Any) -> None:
    """It would take the memory of the other models there; vLLM takes beginnings of names."""
    refusal = refused(model_name="qwen3", n_gpu=0.5, **{name: value})
    assert (refusal.param, "0.5" in refusal.message) == (name.replace("-", "_"), True)
    assert launch(model_name="qwen3", n_gpu=1, **{name: value}).gpus == 1


@pytest.mark.parametrize("value", [0.5, 0.25, "0.5"])
def test_share_of_memory_within_the_share_of_the_gpu(value: Any) -> None:
    spec = launch(model_name="qwen3", n_gpu=0.5, gpu_memory_utilization=value)
    assert spec.engine_args == {"gpu_memory_utilization": value}


@pytest.mark.parametrize("value", [0, -0.1, 1.01, "all", "nan", True, [1], 10**400])
@pytest.mark.parametrize("n_gpu", [None, 0.5, 1, 2])
def test_share_of_memory_that_is_none(n_gpu: Any, value: Any) -> None:
    assert refused(model_name="qwen3", n_gpu=n_gpu, gpu_memory_utilization=value).param == "gpu_memory_utilization"


def test_launch_by_name_alone_is_fitted_to_the_cluster() -> None:
    spec = launch(model_name="qwen3", nodes=(NodeGpus(8, 8, 80 * GIB, 9.0),))
    assert (spec.size_in_billions, spec.format, spec.gpus) == ("235", "pytorch", 8)
    assert spec.chosen_because.startswith("qwen3 235B is the largest that fits 8 GPUs of 80 GiB.")
    spec = launch(model_name="qwen3", nodes=(NodeGpus(1, 1, 24 * GIB, 8.9),), model_format="pytorch")
    assert (spec.path, spec.gpus) == ("Qwen/Qwen3-8B", 1)


def test_what_is_asked_for_is_left_as_it_is() -> None:
    node = NodeGpus(8, 8, 80 * GIB, 9.0)
    asked = {"model_size_in_billions": 8, "model_format": "fp8", "context_length": 1000}
    spec = launch(model_name="qwen3", nodes=(node,), **asked)
    assert (spec.path, spec.gpus, spec.context_length, spec.chosen_because) == ("Qwen/Qwen3-8B-FP8", 1, 1000, "")
    assert launch(model_name="qwen3", nodes=(node,), n_gpu=2).gpus == 2
    assert launch(model_name="qwen3", nodes=(node,), model_size_in_billions=8, tensor_parallel_size=4).gpus == 4


def test_one_model_on_a_number_of_gpus_is_not_weighed() -> None:
    """Whether it fits is the worker's to see, who has its files."""
    nodes = (NodeGpus(1, 1, 1 * GIB, 9.0),)
    asked = {"model_size_in_billions": 235, "model_format": "pytorch"}
    assert launch(model_name="qwen3", nodes=nodes, n_gpu=1, **asked).path == "Qwen/Qwen3-235B-A22B"
    with pytest.raises(LaunchRefused, match=r"qwen3 235B (needs|does not fit)") as caught:
        launch(model_name="qwen3", nodes=nodes, **asked)
    assert caught.value.param == "n_gpu"
    assert launch(model_name="qwen3", nodes=nodes, cpu_offload_gb=900, **asked).gpus == 1, "the figures do not hold"


def test_memory_that_the_engine_may_fill_counts() -> None:
    node, asked = NodeGpus(1, 1, 80 * GIB, 9.0), {"model_name": "qwen3", "model_format": "pytorch"}
    assert launch(nodes=(node,), **asked).size_in_billions == "32"
    assert launch(nodes=(node,), gpu_memory_utilization=0.5, **asked).size_in_billions == "14"
    assert launch(nodes=(node,), n_gpu=0.5, gpu_memory_utilization=0.5, **asked).size_in_billions == "14"


def test_engine_arguments_of_more_than_one_part() -> None:
    spec = launch(model_name="qwen3", **{"compilation-config.mode": 3, "hf_overrides": {"a": 1}})
    assert flags(spec.engine_args)[-1] in ('{"a": 1}', '--hf-overrides={"a": 1}')


def test_uid_that_is_taken_gets_a_suffix() -> None:
    assert launch(model_name="qwen3").uid == "qwen3"
    uid = launch(uids=("qwen3",), model_name="qwen3").uid
    assert uid.startswith("qwen3-")
    assert len(uid) == len("qwen3-") + 8
    assert launch(uids=("qwen3",), model_name="qwen3").uid != uid


def test_uid_that_was_asked_for_is_kept_even_if_taken() -> None:
    """Whether it is free is the registry's to say."""
    assert launch(uids=("mine",), model_name="qwen3", model_uid="mine").uid == "mine"


def test_family_in_any_case() -> None:
    assert launch(model_name="QWEN3").name == "qwen3"


def test_registered_family() -> None:
    spec = {"size_in_billions": "7", "model_id": "sea/whale", "revision": "v1"}
    facts: dict[str, Any] = {
        "name": "whale",
        "description": "",
        "languages": [],
        "abilities": ["chat"],
        "specs": [spec],
    }
    whale = Family(**facts, context_length=9, chat_template="{{ x }}", stop=(".",), engine_args={"seed": 1})
    request, catalog = LaunchRequest.read({"model_name": "Whale"}), Catalog.load().extended([whale])
    found = resolve(request, uids=(), catalog=catalog)
    assert (found.uid, found.path, found.revision, found.stop) == ("whale", "sea/whale", "v1", (".",))
    assert found.engine_args == {"chat_template": "{{ x }}", "seed": 1}
    other = LaunchRequest.read({"model_name": "whale", "revision": "v2", "chat_template": "{{ y }}"})
    found = resolve(other, uids=(), catalog=catalog)
    assert (found.revision, found.engine_args["chat_template"]) == ("v2", "{{ y }}")


def test_folder_that_is_in_no_catalog(folder: Path) -> None:
    spec = launch(model_path=f"{folder}/")
    assert (spec.uid, spec.name, spec.path) == ("My-Model_7B", "My-Model_7B", f"{folder}/")
    assert (spec.abilities, spec.usual_context_length) == (("generate",), 2048)
    assert spec.thinking.mode is ThinkingMode.NEVER


def test_folder_with_a_name_of_its_own(folder: Path) -> None:
    spec = launch(model_path=str(folder), model_name="whale", model_size_in_billions=7, model_format="fp8")
    assert (spec.uid, spec.name, spec.size_in_billions, spec.format) == ("whale", "whale", "7", "fp8")


def test_folder_of_a_known_family_has_its_facts(folder: Path) -> None:
    spec = launch(model_path=str(folder), model_name="qwen3")
    assert (spec.path, spec.reasoning_parser) == (str(folder), "qwen3")
    assert spec.thinking.mode is ThinkingMode.SWITCH


def test_folder_whose_name_can_be_no_uid(tmp_path: Path) -> None:
    path = tmp_path / "鯨 model"
    path.mkdir()
    (path / "config.json").write_text("{}")
    assert "--model-uid" in refused(model_path=str(path)).message
    assert launch(model_path=str(path), model_uid="whale").uid == "whale"


@pytest.mark.parametrize(("family", "wish"), [("qwq-32b", False), ("qwen2.5-instruct", True)])
def test_thinking_that_the_family_cannot_do(family: str, wish: bool) -> None:
    name = next(name for name in Catalog.load().families if name.casefold() == family)
    with pytest.raises(ThinkingNotSupported):
        launch(model_name=name, enable_thinking=wish)
    assert launch(model_name=name, enable_thinking=not wish).enable_thinking is not wish


def test_fake_engine_s_arguments_are_its_own() -> None:
    spec = launch(model_name="qwen3", model_engine="FAKE", tokens=5)
    assert (spec.engine, spec.engine_args) == ("fake", {"tokens": 5})


@pytest.mark.parametrize(
    ("fields", "output"),
    [
        ({}, ReasoningOutput.SPLIT),
        ({"reasoning_content": None, "include_reasoning": None}, ReasoningOutput.SPLIT),
        ({"reasoning_content": True, "include_reasoning": True}, ReasoningOutput.SPLIT),
        ({"reasoning_content": False}, ReasoningOutput.INLINE),
        ({"include_reasoning": False}, ReasoningOutput.OMIT),
        ({"reasoning_content": True, "include_reasoning": False}, ReasoningOutput.OMIT),
    ],
)
def test_where_reasoning_goes_is_not_the_engine_s_to_know(fields: dict[str, Any], output: ReasoningOutput) -> None:
    spec = launch(model_name="qwen3", **fields)
    assert spec.reasoning_output is output
    assert not {"reasoning_content", "include_reasoning"} & spec.engine_args.keys()


@pytest.mark.parametrize(
    ("value", "resume"), [(None, Resume.NEVER), (False, Resume.NEVER), (True, Resume.REPEATABLE), ("any", Resume.ANY)]
)
def test_streams_that_go_on_elsewhere(value: Any, resume: Resume) -> None:
    spec = resolve(LaunchRequest.read({"model_name": "tiny-chat", "resume": value}), uids=())
    assert spec.resume is resume
    assert "resume" not in spec.engine_args
    assert spec.reasoning_parser == "qwen3"
