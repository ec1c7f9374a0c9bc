"""Runs of ``xinfer bench`` on a node: the real command against a fake engine."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from supervisor.nodes.benchmarks import KEPT, Benchmarks, outcome
from tests.bench.servers import engine
from xinfer.cluster.ports import free_port
from xinfer.messages import BenchmarkRun, BenchmarkState

ENOUGH_S = 60.0


async def ended(benchmarks: Benchmarks, run: BenchmarkRun) -> list[BenchmarkRun]:
    """Every state of the run that a supervisor would see, the last one last."""
    seen = [run]
    async with asyncio.timeout(ENOUGH_S):
        while seen[-1].state is BenchmarkState.RUNNING:
            latest = await benchmarks.wait(run.id, seen[-1].version, 5.0)
            assert latest is not None
            seen.append(latest)
    return seen


async def test_a_run_is_watched_and_its_result_kept(tmp_path: Path) -> None:
    async with engine(tokens=4) as (url, _):
        benchmarks = Benchmarks(tmp_path)
        run = await benchmarks.start(url, "m", "quick", "key-of-somebody", "somebody")
        assert run is not None
        assert await benchmarks.start(url, "m", "quick", None, "") is None, "one at a time"
        seen = await ended(benchmarks, run)
    last = seen[-1]
    assert last.state is BenchmarkState.DONE, last.error
    assert last.result is not None
    assert [level["concurrency"] for level in last.result["levels"]] == [1, 4, 16]
    assert [leg["requests"] for leg in last.legs] == [12, 12, 48]
    assert all(leg["tokens_per_s"] > 0 for leg in last.legs)
    assert {each.step for each in seen} >= {"A round 1 of 1, 4 streams", "A warm-up, 16 streams"}
    assert last.ended_at is not None
    assert "key-of-somebody" not in json.dumps(last.result)

    again = Benchmarks(tmp_path)
    assert again.all() == [last]
    await again.end(last.id)
    assert Benchmarks(tmp_path).all() == []


async def test_a_run_that_cannot_work_says_why(tmp_path: Path) -> None:
    benchmarks = Benchmarks(tmp_path)
    run = await benchmarks.start(f"http://127.0.0.1:{free_port('127.0.0.1')}", "m", "quick", None, "")
    assert run is not None
    last = (await ended(benchmarks, run))[-1]
    assert last.state is BenchmarkState.FAILED
    assert last.error
    assert "127.0.0.1" in last.error


ENDLESS = (sys.executable, "-c", "import time; time.sleep(600)")


async def test_a_run_is_cancelled_and_the_next_one_may_begin(tmp_path: Path) -> None:
    benchmarks = Benchmarks(tmp_path, ENDLESS)
    run = await benchmarks.start("http://x", "m", "quick", None, "")
    assert run is not None
    await asyncio.sleep(0.1)
    await benchmarks.end(run.id)
    assert benchmarks.all()[0].state is BenchmarkState.CANCELLED
    next_one = await benchmarks.start("http://x", "m", "quick", None, "")
    assert next_one is not None
    await benchmarks.end(next_one.id)


async def test_a_run_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    benchmarks = Benchmarks(tmp_path, ENDLESS, limit_s=0.2)
    run = await benchmarks.start("http://x", "m", "quick", None, "")
    assert run is not None
    last = (await ended(benchmarks, run))[-1]
    assert (last.state, last.error) == (BenchmarkState.CANCELLED, "It took more than 0 s.")


async def test_waiting_ends_without_a_change_and_without_a_run(tmp_path: Path) -> None:
    benchmarks = Benchmarks(tmp_path, ENDLESS)
    assert await benchmarks.wait("none", -1, 5.0) is None
    run = await benchmarks.start("http://x", "m", "quick", None, "")
    assert run is not None
    assert await benchmarks.wait(run.id, run.version, 0.05) == run
    await benchmarks.end(run.id)


def test_the_latest_runs_are_kept(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    for number in range(KEPT + 2):
        run = {
            "id": f"r{number}",
            "model": "m",
            "profile": "quick",
            "started_by": "",
            "state": "done",
            "began_at": number,
        }
        (tmp_path / f"r{number}.json").write_text(json.dumps({**run, "legs": []}))
    benchmarks = Benchmarks(tmp_path)
    benchmarks._forget_oldest()
    assert [run.id for run in benchmarks.all()] == [f"r{number}" for number in range(KEPT + 1, 1, -1)]
    assert not (tmp_path / "r0.json").exists()


@pytest.mark.parametrize(
    ("code", "said", "error"),
    [(1, ["Error: No server answers."], "No server answers."), (-9, [], "xinfer bench ended with -9.")],
)
def test_what_is_said_of_a_failure(code: int, said: list[str], error: str) -> None:
    assert outcome(code, b"", said) == {"state": BenchmarkState.FAILED, "error": error}
