"""vLLM's Rust front end beside Python's server, each with an engine of its own on half of the GPU."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.gpu.checks import Book
from tests.gpu.test_larger_model import ARGUMENTS, UID, bench, launch
from tests.waiting import wait_for
from worker.bare_command import bare_argv
from worker.command import engine_env
from xinfer.bench.launching.bare import end, start
from xinfer.bench.launching.bench_cluster import BenchCluster
from xinfer.bench.launching.subject import Subject
from xinfer.cluster.ports import free_port
from xinfer.errors import LaunchRefused
from xinfer.messages import ModelSpec
from xinfer.settings import RUST_FRONTEND, EngineSettings

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(900)]

HALF = 0.45
_HOST = "127.0.0.1"
_UP_S = 400.0
_UNKNOWN = "--uvicorn-log-level"  # which the Rust front end refuses


def test_is_refused(lab: BenchCluster) -> None:
    """It loads no middleware, so a launch that asks for it would not keep the contract."""
    with pytest.raises(LaunchRefused, match=RUST_FRONTEND):
        lab.client.launch_model("tiny-chat", envs={RUST_FRONTEND: "1"}, n_gpu=HALF)


def test_beside_pythons(lab: BenchCluster, book: Book, tmp_path: Path) -> None:
    """What it would bring: A is the Rust front end, B the engine of xinfer, both asked directly."""
    if binary() is None:
        book.add("rust", "this vLLM has none")
        pytest.skip("this vLLM has no Rust front end")
    launch(lab, tmp_path / "model", gpus=HALF)
    (replica,) = lab.instance(UID)["replica_statuses"]
    python = lab.footprint(UID).processes[0].pid
    with rust(Subject(UID, str(tmp_path / "model"), HALF, ARGUMENTS).spec, tmp_path / "rust.log") as (url, pid):
        watched = ("--cpu", f"rust={pid}", "--cpu", f"python={python}")
        result = bench(lab.cluster, url, replica["model_address"], tmp_path / "rust.json", *watched)
    book.add("rust", "; ".join(told(level) for level in result["levels"]))
    assert not [level[side]["errors"] for level in result["levels"] for side in "ab" if level[side]["errors"]]


def told(level: dict[str, Any]) -> str:
    """Throughput over Python's server, and what a chunk costs either."""
    rust_us, python_us = (level[side]["cpu"][name]["us_per_chunk"] for side, name in (("a", "rust"), ("b", "python")))
    ratio = level["versus"]["tokens_per_s_ratio"]["median"]
    return f"{level['concurrency']:g} streams: {ratio:.3f} of Python's throughput, {rust_us:.0f} and {python_us:.0f} us/chunk"


def binary() -> Path | None:
    """It comes with some of vLLM's CUDA wheels, that of 0.32.0 among them; another one can be named, as for vLLM."""
    if named := os.environ.get("VLLM_RUST_FRONTEND_PATH"):
        return Path(named)
    spec = importlib.util.find_spec("vllm")
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    return next((folder / "vllm-rs" for folder in folders if (folder / "vllm-rs").exists()), None)


@contextlib.contextmanager
def rust(spec: ModelSpec, log: Path) -> Iterator[tuple[str, int]]:
    """Its address and process, while it serves the model; it has all that it started in a group of its own."""
    port = free_port(_HOST)
    words = bare_argv(replace(spec, uid=UID), _HOST, port)
    place = words.index(_UNKNOWN)
    argv = [words[0], "-m", "vllm.entrypoints.cli.main", "serve", *words[3:place], *words[place + 2 :]]
    env = {**engine_env(spec, EngineSettings.from_environment()), RUST_FRONTEND: "1"}
    process = start(argv, env, log)
    try:
        url = f"http://{_HOST}:{port}"
        wait_for(lambda: process.poll() is not None or answers(url), _UP_S, "the Rust front end")
        assert process.poll() is None, log.read_text()[-2000:]
        assert "rust_frontend_version" in requests.get(f"{url}/version", timeout=5).json()
        (server,) = [each for each in psutil.Process(process.pid).children() if "vllm-rs" in " ".join(each.cmdline())]
        yield url, server.pid
    finally:
        end(process)  # it outlives the process above it, so the whole group


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/health", timeout=2).status_code == 200
    except requests.RequestException:
        return False
