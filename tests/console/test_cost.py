"""What a console costs the cluster: its supervisor's CPU, and the time to the first token of a chat."""

from __future__ import annotations

import json
import os
import statistics
import time
from typing import Any

import psutil
import pytest
import requests

from tests.conftest import RunningCluster
from tests.console.conftest import Open
from tests.e2e.traces import actor

pytestmark = [pytest.mark.engine, pytest.mark.heavy]  # minutes of waiting, on a machine that has to be quiet
WATCHED_S = 20.0
ROUNDS = 2
CHATS = 20
CORES = len(os.sched_getaffinity(0))
# A browser without a GPU takes 60 ms of CPU to draw a message. On two cores the engine waits for that.
ADDED_MS = 10.0 if CORES >= 4 else 35.0
PROMPT = "What is the capital of France?"

ASK = """async ([model, prompt]) => {
    const body = {model, messages: [{role: "user", content: prompt}], stream: true, max_tokens: 8, enable_thinking: false};
    const headers = {"Content-Type": "application/json"};
    const began = performance.now();
    const response = await fetch("../v1/chat/completions", {method: "POST", headers, body: JSON.stringify(body)});
    const reader = response.body.getReader();
    let text = "";
    while (!/"content":"[^"]/.test(text)) text += new TextDecoder().decode((await reader.read()).value);
    const took = performance.now() - began;
    while (!(await reader.read()).done);
    return took;
}"""


@pytest.mark.parametrize("place", ["#/models", "#/cluster"])
def test_one_open_console(
    open_page: Open, cluster: RunningCluster, tiny_chat: str, place: str, figures: list[str]
) -> None:
    (supervisor,) = actor(cluster, "ServeReplica:xinfer")
    added: list[float] = []
    for _ in range(ROUNDS):
        without = share(supervisor)
        page = open_page(place)
        page.locator("main h1").wait_for()
        # What the page loads first is no part of what an open one costs.
        time.sleep(3.0)
        added.append(share(supervisor) - without)
        page.close()
    found = statistics.median(added)
    figures.append(
        f"one open console at {place}: {found:.2%} of a core of the supervisor ({min(added):.2%} to {max(added):.2%})"
    )
    assert found <= 0.005


def share(process: psutil.Process) -> float:
    """Of one core, while nobody does anything."""
    before = process.cpu_times()
    began = time.monotonic()
    time.sleep(WATCHED_S)
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / (time.monotonic() - began)


def test_a_chat_adds_nothing_to_the_first_token(
    open_page: Open, cluster: RunningCluster, tiny_chat: str, figures: list[str]
) -> None:
    """In turn: a program; a browser without the page's own code; the page, by its own clock."""
    page = open_page(f"#/chat/{tiny_chat}")
    page.get_by_role("switch", name="Thinking").click()
    program: list[float] = []
    browser: list[float] = []
    console: list[float] = []
    for _ in range(CHATS):
        program.append(first_token_ms(cluster.endpoint, tiny_chat))
        browser.append(page.evaluate(ASK, [tiny_chat, PROMPT]))
        console.append(asked_in_the_page(page))
    middle = {
        name: statistics.median(times)
        for name, times in (("a program", program), ("a browser", browser), ("the console", console))
    }
    figures.append(
        "first token of a chat, median of 20: " + ", ".join(f"{name} {ms:.1f} ms" for name, ms in middle.items())
    )
    assert middle["the console"] - middle["a browser"] < ADDED_MS


def first_token_ms(endpoint: str, model: str) -> float:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": PROMPT}],
        "stream": True,
        "max_tokens": 8,
        "enable_thinking": False,
    }
    began = time.perf_counter()
    with requests.post(f"{endpoint}/v1/chat/completions", json=body, stream=True, timeout=60) as response:
        for line in response.iter_lines():
            if line.startswith(b"data: {") and json.loads(line[6:])["choices"][0]["delta"].get("content"):
                took = time.perf_counter() - began
                break
        for _ in response.iter_lines():
            pass
    return 1000 * took


def asked_in_the_page(page: Any) -> float:
    """What the page itself says under its response, in milliseconds."""
    page.get_by_role("button", name="New chat").click()
    page.get_by_role("textbox", name="Write a message").fill(PROMPT)
    page.keyboard.press("Enter")
    foot = page.locator(".answer-foot")
    foot.wait_for()
    number, unit = foot.inner_text().partition("first after ")[2].split()[:2]
    return float(number) * (1000 if unit.startswith("s") else 1)
