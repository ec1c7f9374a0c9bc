"""Launches on disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.registry.store import Kept, Store
from xinfer.messages import ModelSpec, ThinkingMode, ThinkingSwitch

FULL = ModelSpec(
    uid="m",
    name="family",
    path="/models/鯨",
    revision="abc",
    format="awq",
    quantization="Int4",
    size_in_billions="0.6",
    context_length=4096,
    usual_context_length=40960,
    abilities=("chat", "tools", "reasoning", "hybrid"),
    languages=("en", "zh"),
    description='it\'s "quoted"; DROP TABLE models',
    thinking=ThinkingSwitch(ThinkingMode.SWITCH, ("thinking_mode", "thinking"), "on", 0, False),
    enable_thinking=False,
    reasoning_parser="qwen3",
    tool_parser="hermes",
    stop=("<|end|>",),
    stop_token_ids=(7, 8),
    engine_args={"max_num_seqs": 64, "speculative_config": {"model": "x", "n": [1, 2.5, None]}, "enforce_eager": True},
    env={"HF_TOKEN": "secret", "EMPTY": ""},
    replicas=3,
    request_limits=7,
    idle_timeout_s=60.5,
    kv_cache_gib=0.25,
    gpus=0.5,
    trust_remote_code=True,
    engine="fake",
    created_at=1234.5,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "registry.sqlite"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    store = Store(file)
    yield store
    store.close()


def test_full_record_survives_a_restart(file: Path) -> None:
    first = Store(file)
    first.save(FULL)
    first.close()
    second = Store(file)
    assert second.load() == [Kept(FULL)]
    second.close()


def test_what_is_saved_is_there_for_another_process_at_once(store: Store, file: Path) -> None:
    store.save(FULL)
    other = Store(file)
    assert other.load() == [Kept(FULL)]
    other.close()


def test_oldest_launch_first(store: Store) -> None:
    for uid, at in (("b", 3.0), ("c", 1.0), ("a", 2.0)):
        store.save(ModelSpec(uid, "f", "p", created_at=at))
    assert [kept.spec.uid for kept in store.load()] == ["c", "a", "b"]


def test_second_launch_of_a_uid_replaces_the_first(store: Store) -> None:
    store.save(ModelSpec("m", "one", "p"))
    store.save(ModelSpec("m", "two", "p"))
    assert [kept.spec.name for kept in store.load()] == ["two"]


def test_forget(store: Store) -> None:
    store.save(FULL)
    store.forget("m")
    store.forget("m")
    assert store.load() == []


def test_sleep_survives_a_restart_and_ends_with_the_next_start(file: Path) -> None:
    first = Store(file)
    first.save(FULL)
    first.save(FULL, asleep=True)
    first.close()
    second = Store(file)
    assert second.load() == [Kept(FULL, asleep=True)]
    second.save(FULL)
    second.close()
    third = Store(file)
    assert third.load() == [Kept(FULL, asleep=False)]
    third.close()


def test_file_from_before_models_could_sleep(file: Path) -> None:
    file.parent.mkdir(parents=True)
    old = sqlite3.connect(file)
    old.execute("CREATE TABLE models (uid TEXT PRIMARY KEY, spec TEXT NOT NULL)")
    old.execute("INSERT INTO models VALUES ('m', ?)", ('{"uid": "m", "name": "f", "path": "p", "created_at": 1}',))
    old.commit()
    old.close()
    for _ in range(2):
        store = Store(file)
        assert store.load() == [Kept(ModelSpec("m", "f", "p", created_at=1))]
        store.close()
