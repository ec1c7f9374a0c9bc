"""The file of declared models: what it takes, what it refuses, and what it becomes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from supervisor.launching.launch_request import LaunchRequest
from xinfer.client._calls import launch_model
from xinfer.declared import DeclaredModel, ModelsFile
from xinfer.declared.schema import SCHEMA_FILE, models_schema
from xinfer.errors import ModelsFileRefused

FULL: dict[str, Any] = {
    "model_name": "qwen3",
    "model_uid": "chat",
    "model_path": "org/model",
    "revision": "main",
    "model_engine": "vLLM",
    "model_size_in_billions": "1_8",
    "model_format": "pytorch",
    "quantization": "none",
    "context_length": 4096,
    "replica": 2,
    "autoscaling_config": {"min_replicas": 1, "max_replicas": 4},
    "n_gpu": 0.5,
    "node_labels": {"gpu": "A100"},
    "wait_for_capacity": True,
    "n_worker": 1,
    "pack": True,
    "request_limits": 8,
    "idle_timeout": 60.0,
    "kv_cache_gib": 1.5,
    "enable_thinking": False,
    "reasoning_content": False,
    "include_reasoning": False,
    "resume": "any",
    "trust_remote_code": True,
    "envs": {"HF_TOKEN": "hf_secret"},
    "engine_args": {"max_num_seqs": 64},
}


def refusal(text: str) -> str:
    with pytest.raises(ModelsFileRefused) as raised:
        ModelsFile.parse(text, "models.yaml")
    return raised.value.message


def test_every_field_reaches_the_server() -> None:
    model = DeclaredModel.model_validate(FULL)
    assert set(FULL) == set(DeclaredModel.model_fields), "this test knows every field"
    body = launch_model(**model.launch_fields(), wait_ready=False).body
    request = LaunchRequest.read(body or {})
    expected = {**FULL, "declaration": model.declaration()}
    args = expected.pop("engine_args")
    scaling = expected.pop("autoscaling_config")
    assert request.autoscaling_config
    assert request.autoscaling_config.model_dump(exclude_none=True) == scaling
    assert {name: getattr(request, name) for name in expected} == expected
    assert request.engine_args == args


@pytest.mark.parametrize(("n_gpu", "gpus"), [("none", 0), ("auto", None), (2, 2), (0.5, 0.5)])
def test_gpus(n_gpu: Any, gpus: float | None) -> None:
    model = DeclaredModel(model_name="m", n_gpu=n_gpu)
    assert LaunchRequest.read(launch_model(**model.launch_fields()).body or {}).gpus == gpus


def test_only_what_is_given_is_sent_and_kept() -> None:
    model = DeclaredModel(model_name="qwen3")
    assert model.declaration() == {"model_name": "qwen3"}
    fields = model.launch_fields()
    assert fields == {"model_name": "qwen3", "model_uid": "qwen3", "n_gpu": "auto", "declaration": model.declaration()}


def test_values_of_variables_are_kept_as_digests() -> None:
    one = DeclaredModel(model_name="a", envs={"HF_TOKEN": "hf_secret"})
    assert "hf_secret" not in json.dumps(one.declaration())
    changed = DeclaredModel(model_name="a", envs={"HF_TOKEN": "other"})
    elsewhere = DeclaredModel(model_name="b", envs={"HF_TOKEN": "hf_secret"})
    digests = [each.declaration()["envs"]["HF_TOKEN"] for each in (one, changed, elsewhere)]
    assert len(set(digests)) == 3
    assert one.launch_fields()["envs"] == {"HF_TOKEN": "hf_secret"}


@pytest.mark.parametrize(
    ("model", "uid"),
    [
        ({"model_name": "qwen3"}, "qwen3"),
        ({"model_name": "qwen3", "model_uid": "chat"}, "chat"),
        ({"model_path": "org/Some-Model"}, "Some-Model"),
        ({"model_path": "/models/mine/"}, "mine"),
    ],
)
def test_uid(model: dict[str, str], uid: str) -> None:
    assert DeclaredModel.model_validate(model).uid == uid


def test_folder_is_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    file = tmp_path / "models.yaml"
    file.write_text("models: [{model_path: mine}, {model_path: org/model}]")
    paths = [model.model_path for model in ModelsFile.read(file).models]
    assert paths == [str(tmp_path / "mine"), "org/model"]


def test_json_is_yaml() -> None:
    assert ModelsFile.parse(json.dumps({"models": [FULL]}), "x").models == [DeclaredModel.model_validate(FULL)]


def test_values_are_kept_as_json_has_them() -> None:
    (model,) = ModelsFile.parse("models: [{model_name: m, engine_args: {a: {1: 2}}}]", "x").models
    assert model.declaration() == json.loads(json.dumps(model.declaration()))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "models.yaml: models: Field required"),
        ("models: {", "models.yaml, line 1: not YAML"),
        ("[]", "models.yaml: Input should be"),
        ("model: []", "models.yaml: models: Field required"),
        ("models: [{}]", "models.0: say which model: model_name or model_path"),
        ("models: [{model_name: a}, {model_name: a}]", "two models have the UID 'a'"),
        ("models: [{model_name: a, replicas: 2}]", "models.0.replicas: there is no such field"),
        ("models: [{model_name: a, replica: 0}]", "models.0.replica: "),
        ("models: [{model_name: a, n_gpu: }]", "models.0.n_gpu: expected auto, none, or a number"),
        ("models: [{model_name: a, n_gpu: true}]", "models.0.n_gpu: expected auto, none, or a number"),
        ("models: [{model_name: a, idle_timeout: .inf}]", "models.0.idle_timeout: "),
        ("models: [{model_name: a, engine_args: {x: .nan}}]", "models.0.engine_args: expected values as JSON has them"),
        ("models: [{model_name: a, engine_args: {x: 2026-11-28}}]", "models.0.engine_args: expected values as JSON"),
        ("models: [{model_name: a, engine_args: {replica: 2}}]", "engine_args: replica is a field of the model itself"),
        ("models: [{model_name: a, engine_args: {wait_ready: 1}}]", "engine_args: wait_ready is a field"),
        ("models: [{model_name: a, model_uid: 'a b'}]", "'a b' cannot be a model UID"),
        ("models: [{model_name: ''}]", "models.0.model_name: "),
    ],
)
def test_refused(text: str, said: str) -> None:
    assert said in refusal(text)


def test_file_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ModelsFileRefused, match="not UTF-8 text"):
        ModelsFile.read(file)


def test_schema_is_that_of_the_classes() -> None:
    assert SCHEMA_FILE.read_text() == models_schema(), "python -m xinfer.declared.schema writes it"


def test_schema_takes_what_the_classes_take() -> None:
    check = jsonschema.Draft202012Validator(json.loads(models_schema()))
    assert check.is_valid({"models": [FULL, {"model_name": "a", "n_gpu": "none"}]})
    for wrong in (
        {},
        {"models": [{"model_name": "a", "replicas": 2}]},
        {"models": [{"model_name": "a", "replica": 0}]},
    ):
        assert not check.is_valid(wrong), yaml.safe_dump(wrong)
