"""What is measured beside xinfer, each server alone on this machine, and the load that all of them get."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.soak.resources import SHARED_MEMORY, SharedMemory, mapped_by
from xinfer.bench.launching import bare
from xinfer.bench.launching.first_token import awaited_first_token
from xinfer.bench.launching.subject import completion
from xinfer.cluster.ports import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
MODEL = ROOT / "xinfer" / "tiny_chat" / "model"
PARSERS = ("--reasoning-parser", "qwen3", "--enable-auto-tool-choice", "--tool-call-parser", "hermes")
KV_CACHE_BYTES = 1 << 30
RAY_SERVE_LLM_NEEDS = ("pyarrow==26.0.1", "jsonref==1.1.0")
DIRECT_STREAMING = {
    "RAY_SERVE_LLM_ENABLE_DIRECT_STREAMING": "1",
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_HAPROXY_NBTHREAD": "1",
}
"""As Ray's documentation turns it on, with as many threads of HAProxy as xinfer has on so few cores."""
_START_S = 180.0
_END_S = 60.0


def bench(url: str, model: str, *options: str, home: Path | None = None) -> dict[str, Any]:
    """Results of one round of ``xinfer bench``; with ``home``, CPU times of the cluster whose files are there are among them."""
    env = dict(os.environ)
    if home:
        env["XINFER_HOME"] = str(home)
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        words = ["bench", url, "-m", model, "--rounds", "1", "--json", file.name, *options]
        argv = [sys.executable, "-m", "xinfer.cli", *words]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
        result: dict[str, Any] = json.loads(Path(file.name).read_text())
    return result


@contextmanager
def bare_vllm(*arguments: str) -> Iterator[str]:
    """vLLM's own server, as people start it, with the KV cache of xinfer's engine; its address."""
    port = free_port("127.0.0.1")
    server = ("vllm.entrypoints.openai.api_server", "--model", str(MODEL), "--served-model-name", "tiny-chat")
    place = ("--host", "127.0.0.1", "--port", str(port), "--kv-cache-memory-bytes", str(KV_CACHE_BYTES))
    argv = [sys.executable, "-m", *server, *place, "--uvicorn-log-level", "warning", *arguments]
    with tempfile.TemporaryDirectory() as folder:
        process = bare.start(argv, dict(os.environ), Path(folder) / "bare.log")
        try:
            yield _answering(process, port)
        finally:
            bare.end(process)


@contextmanager
def ray_serve_llm(*, direct: bool) -> Iterator[str]:
    """The same model behind ``ray.serve.llm``, with its defaults or with direct streaming; its address.

    Ray pins another vLLM for it than the one that is measured here.
    """
    port = free_port("127.0.0.1")
    env = {**os.environ, "PYTHONPATH": str(_needs_of_ray_serve_llm())}
    if direct:
        env.update(DIRECT_STREAMING)
    with tempfile.TemporaryFile() as log:
        argv = [
            sys.executable,
            str(Path(__file__).with_name("ray_serve_llm.py")),
            str(MODEL),
            str(port),
            str(KV_CACHE_BYTES),
        ]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=log, stderr=log, env=env)
        try:
            yield _answering(process, port)
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Have a server that serves until its stdin ends end, with all of Ray's processes and the shared memory that they leave."""
    shared_memory = SharedMemory()
    for child in psutil.Process(process.pid).children(recursive=True):
        shared_memory.seen |= mapped_by(child.pid)
    try:
        process.communicate(timeout=_END_S)
    except subprocess.TimeoutExpired:
        # Ray ends its processes when their driver is gone.
        process.kill()
        process.wait()
    for name in shared_memory.left_over():
        (SHARED_MEMORY / name).unlink(missing_ok=True)


def _answering(process: subprocess.Popen[bytes], port: int) -> str:
    """The address of a server, once it has given its first token."""
    url = f"http://127.0.0.1:{port}"
    awaited_first_token(*completion(url, "tiny-chat"), _START_S, alive=lambda: process.poll() is None, period_s=0.2)
    return url


def _needs_of_ray_serve_llm() -> Path:
    """The folder with the packages that it imports and xinfer has not."""
    folder = ROOT / "build" / "ray-serve-llm"
    if not folder.exists():
        # One that was broken off does not have the folder's name.
        draft = folder.with_suffix(".part")
        shutil.rmtree(draft, ignore_errors=True)
        argv = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(draft)]
        subprocess.run([*argv, *RAY_SERVE_LLM_NEEDS], check=True)
        draft.rename(folder)
    return folder
