"""Benchmarks from the console: on the real engine, watched, compared, cancelled, and what the page of models shows meanwhile."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import RunningCluster
from tests.console.conftest import Open, serious_faults, shoot, sideways
from tests.e2e.load import load
from tests.waiting import wait_for
from xinfer.client import RESTfulClient
from xinfer.errors import Conflict, ModelNotFound, XinferError

# Two benchmarks of a real model.
pytestmark = [pytest.mark.engine, pytest.mark.heavy]


def start(page: Any, model: str, profile: str = "Quick") -> None:
    page.get_by_label("Model").select_option(model)
    page.get_by_role("radio", name=re.compile(profile)).check()
    page.get_by_role("button", name="Start").click()


def until_done(page: Any, model: str) -> None:
    page.get_by_role("region", name=model).get_by_text("Done", exact=True).wait_for(timeout=180_000)


def test_two_runs_are_watched_and_compared(
    open_page: Open,
    cluster: RunningCluster,
    tiny_chat: str,
    launch_fake: Callable[..., str],
    client: RESTfulClient,
    figures: list[str],
) -> None:
    launch_fake("simulated", gap_s=0.002)
    page = open_page("#/benchmark")
    page.get_by_role("heading", name="Benchmark").wait_for()
    start(page, tiny_chat)
    page.get_by_role("progressbar").wait_for()
    with pytest.raises(Conflict, match="Another benchmark"):
        client.start_benchmark(tiny_chat)
    assert page.get_by_role("button", name="Start").is_disabled()

    models = open_page("#/models")
    row = models.get_by_role("listitem").filter(has_text=tiny_chat)
    speed = row.locator("dl div").filter(has_text="Tok/s").locator("dd")
    # A fast machine is through with the benchmark before the page has been told of its tokens.
    with load(cluster.endpoint, tiny_chat) as work:
        work.streams = 2
        wait_for(
            lambda: speed.inner_text().replace(",", "").isdigit() and speed.inner_text() != "0",
            30,
            "tokens per second",
        )
        assert row.locator("dl div").filter(has_text="KV cache").locator("dd").inner_text().endswith("%")
        shoot(models, "models")
    models.close()

    page.get_by_role("table", name=re.compile(tiny_chat)).wait_for()
    shoot(page, "benchmark-running")
    until_done(page, tiny_chat)
    table = page.get_by_role("table", name=re.compile(tiny_chat))
    assert [row.split()[0] for row in table.get_by_role("row").all_inner_texts()[1:]] == ["1", "4", "16"]
    assert page.get_by_role("img", name=re.compile("Throughput")).locator("circle").count() == 3
    assert serious_faults(page) == []
    (run,) = client.list_benchmarks()
    found = client.get_benchmark(run["id"])
    figures.append(f"benchmark quick of {tiny_chat}: {found['ended_at'] - found['began_at']:.0f} s")
    assert found["result"]["targets"]["a"]["model"] == tiny_chat

    start(page, "simulated")
    until_done(page, "simulated")
    page.get_by_role("link", name="Compare").click()
    page.get_by_text("compared with").wait_for()
    assert page.get_by_role("img", name=re.compile("Throughput")).locator("circle").count() == 6
    assert page.get_by_text("A simulated p50").count() == 2
    shoot(page, "benchmark", full=True)
    assert serious_faults(page) == []
    for width, dark, language in (
        (320, True, "zh-TW"),
        (320, False, "en-US"),
        (2560, False, "zh-TW"),
        (1280, True, "en-US"),
    ):
        other = open_page(page.url.partition("/ui/")[2], width=width, dark=dark, language=language)
        other.locator(".plot").first.wait_for()
        assert sideways(other) <= 0
        shoot(other, f"benchmark-{width}-{'dark' if dark else 'light'}-{language[:2]}", full=True)
        other.close()

    page.get_by_role("button", name="Delete the run").first.click()
    page.get_by_role("link", name="Compare").wait_for(state="detached")
    wait_for(lambda: len(client.list_benchmarks()) == 1, 10, "the end of the run")


def test_a_run_is_cancelled_and_a_run_that_fails_says_why(
    open_page: Open, launch_fake: Callable[..., str], client: RESTfulClient
) -> None:
    launch_fake("slow", gap_s=1.0)
    page = open_page("#/benchmark")
    start(page, "slow", "Many streams")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("region", name="slow").get_by_text("Cancelled", exact=True).wait_for()
    launch_fake("broken", wait_ready=False, load_error="ValueError: no such tensor")
    wait_for(lambda: client.get_instance_info(None, "broken")[0]["status"] == "ERROR", 60, "a launch that failed")
    run = client.start_benchmark("broken", "prefill")
    page = open_page(f"#/benchmark/{run['id']}")
    page.get_by_role("region", name="broken").get_by_text("Failed", exact=True).wait_for()
    assert "no such tensor" in page.locator(".reason").inner_text()
    with pytest.raises(ModelNotFound):
        client.start_benchmark("no-such-model")
    with pytest.raises(XinferError, match="There is no profile"):
        client.start_benchmark("slow", "none")
    with pytest.raises(XinferError, match="There is no benchmark"):
        client.get_benchmark("none")
