"""A model of a common size under load: what xinfer costs beside the engine itself, and how busy the GPU is."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.gpu import larger_model
from tests.gpu.checks import LEAST_RATIO, LEVELS, MOST_TTFT_MS, MOST_TTFT_PERCENT, Book
from tests.gpu.conftest import REHEARSAL
from tests.gpu.patience import run
from xinfer.bench.launching.bench_cluster import BenchCluster
from xinfer.bench.launching.cluster import Cluster
from xinfer.bench.launching.subject import Subject

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(900)]

UID = "larger"
SIZE = os.environ.get("XINFER_GPU_MODEL") or ("0.01" if REHEARSAL else "8")
"""Billions of parameters."""
ROUNDS = "1" if REHEARSAL else "3"
LEVELS_ASKED = LEVELS[:2] if REHEARSAL else LEVELS
_LOAD = ("--prompt-tokens", "256", "--output-tokens", "64" if REHEARSAL else "128")
_REHEARSAL_ARGS = {"kv_cache_gib": 1, "enforce_eager": True} if REHEARSAL else {}
ARGUMENTS = {"load_format": "dummy", "max_model_len": 4096, **_REHEARSAL_ARGS}


def test_through_and_direct(lab: BenchCluster, book: Book, tmp_path: Path) -> None:
    """`xinfer bench` in pairs: the engine through xinfer, and the same engine asked directly."""
    began = time.monotonic()
    parameters = launch(lab, tmp_path / "model", gpus=1)
    book.add("model", f"{parameters / 1e9:.2f} billion, ready after {time.monotonic() - began:.0f} s")
    (replica,) = lab.instance(UID)["replica_statuses"]
    engine = replica["model_address"]
    result = bench(lab.cluster, lab.cluster.endpoint, engine, tmp_path / "figures.json", "--engine", engine)
    missed = [missing for level in result["levels"] for missing in note(book, level)]
    assert not missed


def launch(lab: BenchCluster, folder: Path, gpus: float) -> int:
    """Make the model and launch it; its number of parameters."""
    parameters = larger_model.make(folder, SIZE)
    BenchCluster(lab.cluster, lab.client, Subject(UID, str(folder), gpus, ARGUMENTS)).launch(UID)
    return parameters


def bench(cluster: Cluster, url: str, versus: str, file: Path, *more: str) -> dict[str, Any]:
    """Everything that `xinfer bench` says of two servers; it prints its own tables meanwhile."""
    argv = [sys.executable, "-m", "xinfer.cli", "bench", url, "--model", UID, "--versus", versus, "--json", str(file)]
    argv += ["-c", ",".join(map(str, LEVELS_ASKED)), "--rounds", ROUNDS, *_LOAD, *more]
    assert run(argv, 800, env=cluster.env) == 0
    result: dict[str, Any] = json.loads(file.read_text())
    return result


def note(book: Book, level: dict[str, Any]) -> list[str]:
    """Write one level's figures into the book; what failed, and goals that were missed, which are goals for GPUs."""
    streams, versus = int(level["concurrency"]), level["versus"]
    ratio, in_ms, in_percent = (
        versus[name] for name in ("tokens_per_s_ratio", "ttft_p50_added_ms", "ttft_p50_added_percent")
    )
    enough = ratio["median"] >= LEAST_RATIO
    book.add(f"ratio-{streams}", f"{spread(ratio, 3)}, {level['a']['tokens_per_s']:,.0f} tokens/s through", enough)
    soon = {1: in_ms["median"] <= MOST_TTFT_MS, 128: in_percent["median"] <= MOST_TTFT_PERCENT}.get(streams)
    book.add(f"ttft-{streams}", f"{spread(in_ms, 1)} ms, {in_percent['median']:+.1f} %", soon)
    note_busy(book, level, streams)
    failed = {side: level[side]["errors"] for side in "ab" if level[side]["errors"]}
    missed = []
    if not REHEARSAL:
        missed = [f"throughput at {streams}"] * (not enough) + [f"TTFT at {streams}"] * (soon is False)
    return missed + [f"{side} at {streams}: {errors}" for side, errors in failed.items()]


def note_busy(book: Book, level: dict[str, Any], streams: int) -> None:
    """The GPU's busy share in both legs, which is no more than a figure."""
    shares = [use["busy_share"] for side in "ab" for use in level[side]["gpus"].values()]
    book.add(f"busy-{streams}", ", ".join("unknown" if share is None else f"{share:.1%}" for share in shares))


def spread(across: dict[str, float], digits: int) -> str:
    """The median of the pairs, with the least and the most."""
    return f"{across['median']:.{digits}f} ({across['min']:.{digits}f}..{across['max']:.{digits}f})"
