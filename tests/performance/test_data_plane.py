"""What the data plane costs, in figures that end the run's report: `pytest tests/performance`. No time is asserted.

CPU seconds per unit of work are the figures to trust on a machine that others use, too.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import RunningCluster
from tests.performance.streams import OpenStreams
from xinfer.bench.cpu import cluster_processes
from xinfer.client import RESTfulClient

# Figures, which no test asserts.
pytestmark = pytest.mark.heavy

Figures = list[str]
_MIB = 2**20


def bench(cluster: RunningCluster, tmp_path: Path, uid: str, *options: str) -> dict[str, Any]:
    """Run ``xinfer bench`` on one model; the only level's figures."""
    file = tmp_path / "figures.json"
    cluster.run("bench", cluster.endpoint, "--model", uid, "--json", str(file), *options, timeout_s=240)
    level: dict[str, Any] = json.loads(file.read_text())["levels"][0]
    return level


def test_cpu_per_chunk(
    cluster: RunningCluster, launch_fake: Callable[..., str], tmp_path: Path, figures: Figures
) -> None:
    """128 streams, 100 chunks per second each."""
    uid = launch_fake("paced", gap_s=0.01)
    level = bench(cluster, tmp_path, uid, "-c", "128", "-n", "128", "--output-tokens", "400", "--prompt-tokens", "32")
    (found,) = [each["a"] for each in level["rounds"]]
    assert (found["requests"], found["errors"]) == (128, {})
    assert found["chunks"] == 128 * 400
    rate = found["chunks"] / found["window_s"]
    costs = {name: cost["us_per_chunk"] for name, cost in found["cpu"].items()}
    assert set(costs) == {"supervisor", "haproxy"}
    figures.append(f"CPU per streamed chunk, 128 streams, {rate:,.0f} chunks/s: {said(costs, 'us')}")


@pytest.mark.parametrize("streams", [1, 16])
def test_cpu_per_request(
    cluster: RunningCluster, launch_fake: Callable[..., str], tmp_path: Path, figures: Figures, streams: int
) -> None:
    uid = launch_fake("at-once", tokens=16)
    options = ["--no-stream", "--output-tokens", "16", "--prompt-tokens", "32", "-n", "1600"]
    level = bench(cluster, tmp_path, uid, "-c", str(streams), *options)
    (found,) = [each["a"] for each in level["rounds"]]
    assert (found["requests"], found["errors"]) == (1600, {})
    costs = {name: 1000 * cost["ms_per_request"] for name, cost in found["cpu"].items()}
    figures.append(
        f"CPU per whole answer, {streams} at once, {found['requests_per_s']:,.0f} requests/s: {said(costs, 'us')}"
    )


async def test_memory_of_a_thousand_streams(
    cluster: RunningCluster, launch_fake: Callable[..., str], client: RESTfulClient, figures: Figures
) -> None:
    """They are open at once; afterwards the memory goes back to the system."""
    uid = await asyncio.to_thread(launch_fake, "slow", gap_s=1.0)
    (supervisor,) = cluster_processes([cluster.endpoint], cluster.home)["supervisor"]
    memory = psutil.Process(supervisor).memory_info
    before = memory().rss
    async with OpenStreams(cluster.endpoint, uid, 1000) as streams:
        assert await streams.begun() == 1000
        during = memory().rss
    await asyncio.sleep(8)  # two looks of the trimmer, and the closing of a thousand connections
    after = memory().rss
    figures.append(
        f"Supervisor's memory, 1,000 open streams: {before / _MIB:.0f} MiB before, {during / _MIB:.0f} during, "
        f"{after / _MIB:.0f} after ({after / before - 1:+.1%})"
    )


@pytest.mark.engine
def test_through_and_direct(
    cluster: RunningCluster, tiny_chat: str, client: RESTfulClient, tmp_path: Path, figures: Figures
) -> None:
    """A short look at what docs/performance.md has in full: the same engine, through xinfer and asked directly."""
    engine = client.describe_model(tiny_chat)["address"]
    level = bench(cluster, tmp_path, tiny_chat, "--versus", engine, "-c", "8", "-n", "24", "--rounds", "3")
    for each in level["rounds"]:
        assert (each["a"]["errors"], each["b"]["errors"]) == ({}, {})
        assert each["a"]["completion_tokens"] == each["b"]["completion_tokens"] == 64
    versus = level["versus"]
    ratio, added = versus["tokens_per_s_ratio"]["median"], versus["ttft_p50_added_ms"]["median"]
    figures.append(f"tiny-chat, 8 streams, 3 pairs: tokens/s through over direct {ratio:.3f}, TTFT p50 {added:+.1f} ms")


def said(costs: dict[str, float], unit: str) -> str:
    return ", ".join(f"{name} {cost:.1f} {unit}" for name, cost in sorted(costs.items(), reverse=True))
