"""The pages beside a newcomer's way: launches that fail or are cancelled, sleep, many models, every width and language."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.conftest import RunningCluster
from tests.console.conftest import Open, serious_faults, shoot, sideways
from tests.e2e.traces import actor
from tests.waiting import wait_for
from xinfer.client import RESTfulClient

# Every page at every size, and what takes an engine ten seconds.
heavy = pytest.mark.heavy

PLACES = (
    *("#/models", "#/catalog", "#/catalog/tiny-chat", "#/launch", "#/chat"),
    *("#/benchmark", "#/cluster", "#/traffic", "#/logs", "#/keys"),
)
PLACE_NAMES = ("models", "catalog", "family", "path", "chat", "benchmark", "cluster", "traffic", "logs", "keys")


WHEN_THE_FIRST_ROW_IS_THERE = """
    new MutationObserver((_, watch) => {
        if (!document.querySelector(".row")) return;
        window.firstRow = performance.now();
        watch.disconnect();
    }).observe(document, {childList: true, subtree: true});
"""


def row_of(page: Any, uid: str) -> Any:
    return page.get_by_role("listitem").filter(has_text=uid)


def test_failure_is_one_line_with_its_log(open_page: Open, launch_fake: Callable[..., str]) -> None:
    page = open_page("#/models")
    launch_fake("broken", wait_ready=False, load_error="ValueError: no such tensor: lm_head")
    card = page.get_by_role("region", name="broken")
    reason = card.locator(".reason")
    reason.wait_for()
    assert "no such tensor: lm_head" in reason.inner_text()
    card.get_by_role("button", name="Log").click()
    log = card.get_by_role("log")
    log.wait_for()
    assert "lm_head" in log.inner_text()
    shoot(page, "failed")
    assert serious_faults(page) == []
    card.get_by_role("button", name="Dismiss").click()
    card.wait_for(state="detached")


def test_launch_is_cancelled(open_page: Open, launch_fake: Callable[..., str], client: RESTfulClient) -> None:
    page = open_page("#/models")
    launch_fake("slow", wait_ready=False, load_s=600)
    card = page.get_by_role("region", name="slow")
    card.get_by_role("button", name="Cancel launch").click()
    page.get_by_text("The launch of slow was cancelled.").wait_for()
    row_of(page, "slow").wait_for(state="detached")
    assert not client.get_instance_info(None, "slow")


@heavy
def test_sleep_wake_and_replicas(open_page: Open, launch_fake: Callable[..., str]) -> None:
    launch_fake("sleeper", tokens=3)
    page = open_page("#/models")
    row = row_of(page, "sleeper")
    row.get_by_role("button", name="Put to sleep").click()
    row.get_by_text("Asleep").wait_for()
    other = open_page("#/models")
    other_row = row_of(other, "sleeper")
    other_row.get_by_text("Asleep").wait_for()
    row.get_by_role("button", name="Wake").click()
    row_of(page, "sleeper").get_by_text("Ready", exact=True).wait_for()
    other_row.get_by_text("Ready", exact=True).wait_for()

    row_of(page, "sleeper").get_by_role("link", name="sleeper").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Add a replica").click()
    dialog.get_by_text("2 of 2 replicas").wait_for()
    shoot(page, "details")
    assert serious_faults(page) == []


@heavy
def test_second_answer_stands_beside_the_first(open_page: Open, launch_fake: Callable[..., str]) -> None:
    launch_fake("left", tokens=6)
    launch_fake("right", tokens=12)
    page = open_page("#/chat/left")
    page.get_by_role("button", name="Compare two models").click()
    page.get_by_label("Second model").select_option("right")
    page.get_by_role("textbox", name="Write a message").fill("Hello")
    page.keyboard.press("Enter")
    page.locator(".answer-foot").nth(1).wait_for()
    assert page.locator(".answer-model").all_inner_texts() == ["left", "right"]
    feet = page.locator(".answer-foot").all_inner_texts()
    assert ["6 tokens" in feet[0], "12 tokens" in feet[1]] == [True, True]


def test_stop_ends_the_request(open_page: Open, launch_fake: Callable[..., str], cluster: RunningCluster) -> None:
    launch_fake("talker", tokens=100_000, gap_s=0.05)
    page = open_page("#/chat/talker")
    page.get_by_role("textbox", name="Write a message").fill("Go on and on.")
    page.keyboard.press("Enter")
    page.locator(".answer .markdown").wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("stopped").wait_for()
    idle = "no request is under way"
    wait_for(lambda: requests.get(f"{cluster.endpoint}/load", timeout=10).json()["server_load"] == 0, 30, idle)


@heavy
@pytest.mark.parametrize(("language", "dark"), [("en-US", False), ("zh-TW", True)])
def test_every_page_at_320_pixels(open_page: Open, tiny_chat: str, language: str, dark: bool) -> None:
    page = open_page(width=320, height=640, dark=dark, language=language)
    for place, name in zip(PLACES, PLACE_NAMES, strict=True):
        visit(page, place)
        assert page.evaluate("document.documentElement.lang") == ("zh-TW" if language == "zh-TW" else "en")
        shoot(page, f"{name}-320-{'dark' if dark else 'light'}-{language[:2]}")
        assert sideways(page) <= 0, f"{place} is wider than 320 pixels"


@heavy
@pytest.mark.parametrize(("width", "height", "dark"), [(1280, 800, False), (1280, 800, True), (2560, 1440, False)])
def test_every_page_on_a_desk(open_page: Open, tiny_chat: str, width: int, height: int, dark: bool) -> None:
    page = open_page(width=width, height=height, dark=dark)
    for place, name in zip(PLACES, PLACE_NAMES, strict=True):
        visit(page, place)
        shoot(page, f"{name}-{width}-{'dark' if dark else 'light'}")
        assert sideways(page) <= 0
        if width == 1280:
            assert serious_faults(page) == []


def visit(page: Any, place: str) -> None:
    page.evaluate("place => { location.hash = place }", place)
    page.locator("main h1").wait_for(state="attached")
    page.locator(".skeleton").first.wait_for(state="detached")


def test_language_and_theme_are_kept(open_page: Open) -> None:
    page = open_page("#/models")
    page.get_by_role("button", name="繁體中文").click()
    page.get_by_role("heading", name="模型").wait_for()
    page.get_by_role("button", name="佈景：跟隨系統").click()
    page.get_by_role("button", name="佈景：淺色").click()
    page.reload()
    page.get_by_role("heading", name="模型").wait_for()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_keyboard_is_enough(open_page: Open, tiny_chat: str) -> None:
    page = open_page("#/models")
    row_of(page, tiny_chat).wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    button = row_of(page, tiny_chat).get_by_role("button", name="Terminate")
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")


@heavy
def test_supervisor_that_dies_meanwhile(open_page: Open, cluster: RunningCluster, tiny_chat: str) -> None:
    """What was heard last stays in sight, and the page finds the next supervisor by itself."""
    page = open_page("#/models", tolerates=("503", "ERR_"))
    row_of(page, tiny_chat).get_by_text("Ready", exact=True).wait_for()
    page.evaluate("""() => {
        window.seen = [];
        new MutationObserver(() => {
            if (document.querySelector(".notice.lost")) window.seen.push("lost");
            if (!document.querySelector(".row")) window.seen.push("no row");
        }).observe(document.body, {childList: true, subtree: true});
    }""")
    (supervisor,) = actor(cluster, "ServeReplica:xinfer")
    supervisor.kill()
    # Playwright's own waiting evaluates text in the page, which its policy forbids.
    wait_for(lambda: page.evaluate("window.seen.includes('lost')"), 30, "the word that the cluster is not reached")
    page.locator(".notice.lost").wait_for(state="detached")
    row_of(page, tiny_chat).get_by_text("Ready", exact=True).wait_for()
    assert not page.evaluate("window.seen.includes('no row')")


def test_first_view(open_page: Open, tiny_chat: str, figures: list[str]) -> None:
    page = open_page("#/models", setup=lambda page: page.add_init_script(WHEN_THE_FIRST_ROW_IS_THERE))
    row_of(page, tiny_chat).wait_for()
    page.reload()
    row_of(page, tiny_chat).wait_for()
    took = page.evaluate("window.firstRow")
    figures.append(f"from the address to the first model in sight: {took:.0f} ms")


def test_thousand_models_do_not_stutter(open_page: Open, figures: list[str]) -> None:
    """The list is made of the rows that can be seen, and a change costs one frame's work."""
    models = [instance(f"model-{number:04}") for number in range(1000)]
    first = f"event: models\ndata: {json.dumps({'changed': models, 'gone': []})}\n\n"
    change = f"event: models\ndata: {json.dumps({'changed': [instance('model-0999', 'SLEEPING')], 'gone': []})}\n\n"

    def play(page: Any) -> None:
        answer = {"content_type": "text/event-stream", "body": first + change}
        page.route("**/v1/events", lambda route: route.fulfill(**answer))

    page = open_page("#/models", setup=play)
    row_of(page, "model-0").first.wait_for()
    assert page.locator(".row").count() < 60
    took = page.evaluate(
        """async () => {
            const box = document.querySelector("input[type=search]");
            const times = [];
            for (const words of ["m", "model-0", "model-00", "model-001", "model-00", "model-0", ""]) {
                await new Promise(requestAnimationFrame);
                const began = performance.now();
                box.value = words;
                box.dispatchEvent(new Event("input", {bubbles: true}));
                await new Promise(requestAnimationFrame);
                await new Promise((done) => setTimeout(done));
                times.push(performance.now() - began);
            }
            return times;
        }"""
    )
    middle = statistics.median(took)
    figures.append(f"filtering 1,000 models and showing what is left: {middle:.0f} ms, {max(took):.0f} at most")
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    wait_for(lambda: page.get_by_text("model-0000").count() == 1, 10, "the last row in sight")


def instance(uid: str, status: str = "READY") -> dict[str, Any]:
    return {
        "model_name": "tiny-chat",
        "model_uid": uid,
        "model_version": "tiny-chat--0.004B--pytorch--none",
        "model_ability": ["chat"],
        "replica": 1,
        "status": status,
        "state": status,
        "reason": None,
        "instance_created_ts": 1795361484 + int(uid[-4:]),
        "n_worker": 1,
        "replica_statuses": [],
    }
