"""What an engine's API server has ready when its core is."""

from __future__ import annotations

import importlib
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from worker.vllm_patches.web_server import Preparation, prepare_server_meanwhile

ARGS = SimpleNamespace(name="arguments")
TEXT = SimpleNamespace(runner_type="generate", is_multimodal_model=False)
GENERATE = ("generate",)
PLACES = (
    ("vllm.entrypoints.launchers.api_server.entry", ("build_app", "build_async_engine_client")),
    ("vllm.v1.engine.utils", ("wait_for_engine_startup",)),
)


class Built:
    """vLLM's function that builds the application."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self.error: Exception | None = None

    def __call__(self, args: Any, tasks: Any, model_config: Any) -> tuple[Any, ...]:
        self.threads.append(threading.current_thread())
        if self.error:
            raise self.error
        return args, tasks, model_config


@pytest.fixture
def build() -> Built:
    return Built()


@pytest.fixture
def preparation(build: Built, monkeypatch: pytest.MonkeyPatch) -> Preparation:
    made = Preparation(build)
    made.args = ARGS
    made.model_config = TEXT
    made.renderer = object()
    monkeypatch.setattr(made, "_render", lambda: None)
    return made


def test_it_is_built_meanwhile(preparation: Preparation, build: Built) -> None:
    preparation.begin()
    assert preparation.app(ARGS, GENERATE, TEXT) == (ARGS, GENERATE, TEXT)
    (thread,) = build.threads
    assert thread is not threading.current_thread()


@pytest.mark.parametrize(
    ("args", "tasks", "model_config"),
    [(SimpleNamespace(), GENERATE, TEXT), (ARGS, ("generate", "transcription"), TEXT), (ARGS, GENERATE, None)],
    ids=["arguments", "tasks", "model"],
)
def test_for_others_it_is_built_anew(
    preparation: Preparation, build: Built, args: Any, tasks: Any, model_config: Any
) -> None:
    preparation.begin()
    assert preparation.app(args, tasks, model_config) == (args, tasks, model_config)
    assert build.threads[-1] is threading.current_thread()


@pytest.mark.parametrize(
    "facts", [{"runner_type": "pooling"}, {"is_multimodal_model": True}], ids=["pooling", "multimodal"]
)
def test_only_the_core_knows_the_tasks_of_others(preparation: Preparation, build: Built, facts: dict[str, Any]) -> None:
    preparation.model_config = SimpleNamespace(**{**vars(TEXT), **facts})
    preparation.begin()
    assert preparation.app(ARGS, GENERATE, preparation.model_config)
    assert build.threads == [threading.current_thread()]


def test_a_failure_is_the_servers_own(preparation: Preparation, build: Built) -> None:
    build.error = ValueError("no such middleware")
    preparation.begin()
    with pytest.raises(ValueError, match="no such middleware"):
        preparation.app(ARGS, GENERATE, TEXT)
    assert len(build.threads) == 2


def test_a_template_that_cannot_be_rendered_leaves_the_application(
    preparation: Preparation, build: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ValueError("no template")

    monkeypatch.setattr(preparation, "_render", fail)
    preparation.begin()
    assert preparation.app(ARGS, GENERATE, TEXT)
    assert len(build.threads) == 1


@pytest.mark.parametrize(("version", "changed"), [("0.32.0", True), ("0.33.0", False)])
def test_the_known_version_is_changed_in_each_place(
    monkeypatch: pytest.MonkeyPatch, version: str, changed: bool
) -> None:
    monkeypatch.setattr("vllm.__version__", version)
    owners = [(importlib.import_module(module), name) for module, names in PLACES for name in names]
    client = importlib.import_module("vllm.v1.engine.core_client").EngineCoreClient
    messages = importlib.import_module("vllm.entrypoints.anthropic.serving").AnthropicServingMessages
    owners += [(client, "make_async_mp_client"), (messages, "_detect_merge_inline_system")]
    before = [getattr(owner, name) for owner, name in owners]
    for owner, name in owners:
        monkeypatch.setattr(owner, name, vars(owner)[name])
    prepare_server_meanwhile()
    assert [getattr(owner, name) is not found for (owner, name), found in zip(owners, before, strict=True)] == (
        [changed] * len(owners)
    )
