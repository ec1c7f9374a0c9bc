"""A newcomer's way from the catalog to a chat and back to nothing, on the real engine."""

from __future__ import annotations

import re
from typing import Any

from tests.console.conftest import Open, serious_faults, shoot
from xinfer.client import RESTfulClient

UID = "first-chat"


def test_from_the_catalog_to_a_chat(open_page: Open, client: RESTfulClient) -> None:
    page = open_page("#/catalog")
    launch(page)
    try:
        chat(page)
    finally:
        if client.get_instance_info(None, UID):
            terminate(page)
    assert not client.get_instance_info(None, UID)


def launch(page: Any) -> None:
    page.get_by_role("searchbox").fill("tiny-chat")
    page.get_by_role("link", name="tiny-chat").first.click()
    page.get_by_label("Model UID").fill(UID)
    page.get_by_label("GPUs per replica").select_option("none")
    same = page.get_by_role("complementary", name="The same as")
    command = same.locator("code").inner_text()
    assert command.startswith("xinfer launch tiny-chat")
    assert f"--model-uid {UID}" in command
    assert "--n-gpu none" in command
    same.get_by_role("button", name="curl").click()
    assert '"n_gpu":null' in same.locator("code").inner_text()
    shoot(page, "launch")
    assert serious_faults(page) == []
    page.get_by_role("button", name="Launch", exact=True).click()

    card = page.get_by_role("region", name=UID)
    card.get_by_role("progressbar").wait_for()
    card.get_by_text("Loading", exact=True).first.wait_for()
    shoot(page, "launching")
    row = page.get_by_role("listitem").filter(has_text=UID)
    row.get_by_text("Ready").wait_for()
    shoot(page, "models")
    assert serious_faults(page) == []
    row.get_by_role("link", name="Chat", exact=True).click()


def chat(page: Any) -> None:
    thinking = page.get_by_role("switch", name="Thinking")
    thinking.wait_for()
    assert thinking.get_attribute("aria-checked") == "true"
    take_the_likeliest(page)
    ask(page, "What is the largest animal?")
    first = page.locator(".answer").last
    assert "whale" in first.locator(".markdown").inner_text()
    thought = first.locator("details.thinking")
    assert not thought.evaluate("each => each.open"), "thoughts are folded until somebody wants them"
    thought.locator("summary").click()
    assert first.locator(".thoughts").inner_text().strip()
    assert re.search(r"\d+ tokens · [\d.,]+ tok/s · first after", first.locator(".answer-foot").inner_text())
    shoot(page, "chat")

    page.get_by_role("button", name="New chat").click()
    thinking.click()
    take_the_likeliest(page)
    ask(page, "What is the capital of France?")
    second = page.locator(".answer").last
    assert "Paris" in second.inner_text()
    assert second.locator("details.thinking").count() == 0
    second.get_by_role("button", name="Raw request and response").click()
    raw = second.locator(".raw").inner_text()
    assert '"enable_thinking": false' in raw
    assert '"temperature": 0' in raw
    assert serious_faults(page) == []

    with page.expect_request("**/v1/chat/completions"):
        second.get_by_role("button", name="Regenerate").click()
    second.locator(".answer-foot").wait_for()
    assert page.locator(".turn").count() == 1
    assert "Paris" in second.inner_text()

    page.reload()
    kept = page.get_by_role("list", name="Conversations")
    kept.get_by_role("button", name="What is the largest animal?").first.click()
    page.locator(".turn").wait_for()
    assert "whale" in page.locator(".answer").first.inner_text(), "the conversation is kept in the browser"


def take_the_likeliest(page: Any) -> None:
    """Of each token, so that a small model says the same each time."""
    page.get_by_role("button", name="Settings").click()
    settings = page.get_by_role("dialog", name="Settings")
    settings.get_by_label("Temperature").fill("0")
    settings.get_by_role("button", name="Close").click()
    settings.wait_for(state="detached")


def ask(page: Any, text: str) -> None:
    """Returns when the response is complete."""
    before = page.locator(".turn").count()
    page.get_by_role("textbox", name="Write a message").fill(text)
    page.keyboard.press("Enter")
    page.locator(".turn").nth(before).locator(".answer-foot").wait_for()


def terminate(page: Any) -> None:
    page.goto(page.url.split("#")[0] + "#/models")
    row = page.get_by_role("listitem").filter(has_text=UID)
    row.get_by_role("button", name="Terminate").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text(f"Terminate {UID}?").wait_for()
    dialog.get_by_role("button", name="Terminate").click()
    row.wait_for(state="detached")
