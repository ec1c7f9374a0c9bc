"""A cluster with keys: logging in, what each scope sees, keys, usage, and a key that ends meanwhile."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.conftest import ROOT, RunningCluster
from tests.console.conftest import Open, serious_faults, shoot, sideways
from tests.waiting import wait_for
from xinfer.api_key import PATTERN, new_key
from xinfer.client import RESTfulClient
from xinfer.cluster.lifecycle import NodeLifecycle
from xinfer.cluster.options import StartOptions
from xinfer.cluster.ports import free_port

# A cluster of its own with keys, and the pages at every width.
pytestmark = pytest.mark.heavy

GRAFANA = "https://grafana.example/d/xinfer"
ALL = ["Models", "Catalog", "Chat", "Benchmark", "Cluster", "Traffic", "Logs", "Keys"]
REFUSED = ("401",)
"""A browser writes a line about each of these to its console, whatever the page makes of it."""
FOLDER = ROOT / "xinfer" / "tiny_chat" / "model"


@pytest.fixture(scope="module")
def keyed() -> Iterator[RunningCluster]:
    """A cluster that requires keys, with two models on fake engines."""
    home = Path(tempfile.mkdtemp(prefix="xi-", dir="/tmp"))
    lifecycle = NodeLifecycle(home)
    options = StartOptions(
        port=free_port("127.0.0.1"),
        ray_port=free_port("127.0.0.1"),
        num_gpus=0,
        auth=True,
        warm_host=False,
        allow_fake_engine=True,
    )
    try:
        with mock.patch.dict(os.environ, {"XINFER_GRAFANA_URL": GRAFANA}):
            for _ in lifecycle.start(options):
                pass
        cluster = RunningCluster(options.endpoint, home, lifecycle)
        with admin_of(cluster) as client:
            for uid in ("assistant", "internal"):
                client.launch_model("fake", model_engine="fake", model_uid=uid, n_gpu=None, model_path=str(FOLDER))
        yield cluster
    finally:
        lifecycle.stop()
        shutil.rmtree(home, ignore_errors=True)


def admin_of(cluster: RunningCluster) -> RESTfulClient:
    return RESTfulClient(cluster.endpoint, cluster.lifecycle.admin_key)


@pytest.fixture
def open_keyed(open_at: Open, keyed: RunningCluster) -> Open:
    return partial(open_at, keyed.endpoint, tolerates=REFUSED)


def log_in(page: Any, key: str, *, title: str = "Log in", field: str = "API key") -> None:
    page.get_by_role("heading", name=title).wait_for()
    page.get_by_label(field).fill(key)
    page.get_by_role("button", name=title).click()


def places(page: Any) -> list[str]:
    page.get_by_role("navigation").get_by_role("listitem").first.wait_for()
    names: list[str] = page.get_by_role("navigation").get_by_role("listitem").all_inner_texts()
    return names


def key_of(cluster: RunningCluster, name: str, scope: Any = "infer", **options: Any) -> str:
    with admin_of(cluster) as client:
        text: str = client.create_key(name, scope, **options)["key"]
    return text


def test_an_admin_logs_in_and_out(open_keyed: Open, keyed: RunningCluster) -> None:
    page = open_keyed("#/cluster")
    page.get_by_role("heading", name="Log in").wait_for()
    assert serious_faults(page) == []
    shoot(page, "login")
    log_in(page, new_key("0123456789"))
    page.get_by_text("This key is not valid here").wait_for()
    shoot(page, "login-wrong")

    key = keyed.lifecycle.admin_key
    assert key
    log_in(page, key)
    page.get_by_role("heading", name="Cluster").wait_for()
    assert places(page) == ALL
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])")
    assert key not in kept
    assert "xinfer_session" not in kept
    assert key not in page.content()
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["secure"]) == (True, "Strict", False)
    assert key not in cookie["value"]

    page.reload()
    page.get_by_role("heading", name="Cluster").wait_for()
    page.get_by_role("link", name="Traffic").click()
    assert page.get_by_role("link", name="Grafana").get_attribute("href") == GRAFANA
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("heading", name="Log in").wait_for()
    assert page.context.cookies() == []


def test_what_a_key_may_not_do_is_not_shown(open_keyed: Open, keyed: RunningCluster) -> None:
    page = open_keyed("#/models")
    reader = key_of(keyed, "reader", models=["assist*"])
    log_in(page, reader)
    page.get_by_role("textbox", name="Write a message").wait_for()
    assert places(page) == ["Chat", "Keys"]
    assert page.get_by_label("Model").locator("option").all_inner_texts() == ["assistant"]
    page.get_by_role("textbox", name="Write a message").fill("Hello")
    page.keyboard.press("Enter")
    page.locator(".answer-foot").wait_for()
    with RESTfulClient(keyed.endpoint, reader) as client:
        wait_for(client.get_usage, 10, "the chat is counted")
    page.get_by_role("link", name="Keys").click()
    page.get_by_text("Your key", exact=True).wait_for()
    page.get_by_role("rowheader", name="assistant").wait_for()
    assert page.get_by_role("button", name="Create a key").count() == 0
    assert serious_faults(page) == []
    shoot(page, "keys-own")

    launcher = open_keyed("#/cluster")
    log_in(launcher, key_of(keyed, "launcher", "launch", models=["assist*"]))
    launcher.get_by_role("heading", name="Cluster").wait_for()
    assert places(launcher) == [each for each in ALL if each != "Traffic"]
    launcher.get_by_role("link", name="Models").click()
    launcher.get_by_role("button", name="Terminate").wait_for()
    assert launcher.get_by_text("internal").count() == 0
    launcher.get_by_role("link", name="Catalog").click()
    launcher.get_by_role("link", name="tiny-chat").first.click()
    launcher.get_by_text("More options").click()
    launcher.get_by_label("Engine arguments").wait_for()
    assert launcher.get_by_text("Run code that comes with the model").count() == 0

    scraper = open_keyed("#/models")
    log_in(scraper, key_of(keyed, "scraper", "metrics"))
    scraper.get_by_role("heading", name="Traffic").wait_for()
    assert places(scraper) == ["Traffic"]


def test_keys_are_made_changed_rotated_and_revoked(open_keyed: Open, keyed: RunningCluster) -> None:
    chat_with(keyed, key_of(keyed, "alice", rpm=600), tokens=40)
    chat_with(keyed, key_of(keyed, "batch jobs", priority="low", budget_tokens=50_000_000), tokens=160)
    page = open_keyed("#/keys")
    log_in(page, str(keyed.lifecycle.admin_key))
    page.get_by_role("button", name="Create a key").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("web app")
    dialog.get_by_label("Scope").select_option("launch")
    dialog.get_by_label("Models").fill("assist*, chat-*")
    dialog.get_by_label("Expires after days").fill("90")
    dialog.get_by_text("Limits").click()
    dialog.get_by_label("Requests per minute").fill("120")
    dialog.get_by_label("Token budget").fill("2000000")
    dialog.get_by_label("Budget per").select_option("month")
    assert serious_faults(page) == []
    shoot(page, "key-create")
    dialog.get_by_role("button", name="Create a key").click()
    text = made(page)
    assert PATTERN.match(text)
    row = page.get_by_role("row").filter(has_text="web app")
    row.get_by_text("Active").wait_for()
    assert "120 requests/min" in row.inner_text()
    assert "2M tokens/month" in row.inner_text()
    assert text not in page.content(), "it is shown once"
    page.get_by_role("rowheader", name="alice").nth(1).wait_for()
    assert serious_faults(page) == []
    shoot(page, "keys", full=True)

    row.get_by_role("button", name="Change web app").click()
    assert dialog.get_by_label("Scope").is_disabled()
    assert dialog.get_by_label("Requests per minute").input_value() == "120"
    assert dialog.get_by_label("Expires after days").input_value() == "90"
    dialog.get_by_label("Requests per minute").fill("30")
    dialog.get_by_label("Token budget").fill("")
    dialog.get_by_label("Requests at a time").fill("4")
    assert serious_faults(page) == []
    shoot(page, "key-edit")
    dialog.get_by_role("button", name="Save").click()
    page.get_by_text("web app has been changed.").wait_for()
    row.get_by_text("30 requests/min").wait_for()
    assert "4 at a time" in row.inner_text()
    assert "tokens/month" not in row.inner_text()
    with admin_of(keyed) as client:
        key = client.get_key("web app")
    assert (key["rpm"], key["concurrency"], key["budget_tokens"], key["models"]) == (30, 4, None, ["assist*", "chat-*"])
    assert 89 < (key["expires_at"] - key["created_at"]) / 86_400 <= 90, "it was left as it was"

    row.get_by_role("button", name="Rotate web app").click()
    dialog.get_by_label("The old text stays valid for").select_option("0")
    dialog.get_by_role("button", name="Rotate", exact=True).click()
    other = made(page)
    with RESTfulClient(keyed.endpoint, other) as client:
        assert client.get_own_key()["models"] == ["assist*", "chat-*"]

    row.get_by_role("button", name="Revoke web app").click()
    dialog.get_by_role("button", name="Revoke", exact=True).click()
    row.get_by_text("Revoked", exact=True).wait_for()
    assert row.get_by_role("button").count() == 0
    with admin_of(keyed) as client:
        assert client.get_key("web app")["state"] == "revoked"
        assert any(entry["action"] == "POST /v1/session" for entry in client.get_audit_log())


def chat_with(cluster: RunningCluster, key: str, tokens: int) -> None:
    """One chat, whose use is counted when this returns."""
    with RESTfulClient(cluster.endpoint, key) as client:
        question: Any = [{"role": "user", "content": "What is the largest animal?"}]
        client.get_model("assistant").chat(question, generate_config={"max_tokens": tokens})  # type: ignore[attr-defined]
        wait_for(client.get_usage, 10, "the chat is counted")


def made(page: Any) -> str:
    """The text of a key that has just been made, after its dialog is closed."""
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("it is shown this once").wait_for()
    text: str = dialog.locator("code").inner_text()
    dialog.get_by_role("button", name="I have copied it").click()
    dialog.wait_for(state="detached")
    return text


def test_a_key_that_ends_meanwhile(open_keyed: Open, keyed: RunningCluster) -> None:
    """Revoked or expired, the page asks for another one and is where it was afterwards."""
    page = open_keyed("#/models")
    log_in(page, key_of(keyed, "guest", "launch"))
    page.get_by_role("listitem").filter(has_text="assistant").wait_for()
    with admin_of(keyed) as client:
        client.revoke_key("guest")
    page.get_by_role("heading", name="Log in").wait_for()
    page.get_by_text("You have been logged out").wait_for()
    shoot(page, "login-over")
    log_in(page, str(keyed.lifecycle.admin_key))
    page.get_by_role("listitem").filter(has_text="assistant").wait_for()

    short = open_keyed("#/chat")
    log_in(short, key_of(keyed, "short", expires_in=3))
    short.get_by_text("You have been logged out").wait_for()


def test_the_cookie_without_the_token_changes_nothing(open_at: Open, keyed: RunningCluster) -> None:
    """It goes along with requests of pages from another port of this machine, too, which is the same site to a browser."""
    page = open_at(keyed.endpoint, "#/models", tolerates=("401", "403"))
    log_in(page, str(keyed.lifecycle.admin_key))
    page.get_by_role("listitem").filter(has_text="assistant").wait_for()
    sent = page.evaluate(
        """async () => {
            const body = JSON.stringify({model: "assistant", messages: [{role: "user", content: "Hello"}]});
            const chat = await fetch("../v1/chat/completions", {method: "POST", body});
            const key = await fetch("../v1/keys", {method: "POST", body: '{"name": "stolen"}'});
            return [chat.status, key.status];
        }"""
    )
    assert sent == [403, 403]
    with admin_of(keyed) as client:
        assert "stolen" not in [key["name"] for key in client.list_keys()]


@pytest.mark.parametrize(
    ("language", "width", "dark"), [("en-US", 320, False), ("zh-TW", 320, True), ("zh-TW", 2560, False)]
)
def test_login_and_keys_at_every_width(
    open_keyed: Open, keyed: RunningCluster, language: str, width: int, dark: bool
) -> None:
    page = open_keyed("#/keys", width=width, height=800, dark=dark, language=language)
    chinese = language == "zh-TW"
    page.get_by_role("heading", name="登入" if chinese else "Log in").wait_for()
    assert sideways(page) <= 0
    name = f"{width}-{'dark' if dark else 'light'}-{language[:2]}"
    shoot(page, f"login-{name}")
    if chinese:
        log_in(page, str(keyed.lifecycle.admin_key), title="登入", field="API 金鑰")
    else:
        log_in(page, str(keyed.lifecycle.admin_key))
    page.get_by_role("heading", name="金鑰與用量" if chinese else "Keys and usage").wait_for()
    page.locator(".skeleton").first.wait_for(state="detached")
    assert sideways(page) <= 0
    assert serious_faults(page) == []
    shoot(page, f"keys-on-{name}")


def test_the_session_ends_on_every_page_of_the_browser(open_keyed: Open, keyed: RunningCluster) -> None:
    page = open_keyed("#/models")
    log_in(page, key_of(keyed, "two tabs", "launch"))
    page.get_by_role("listitem").filter(has_text="assistant").wait_for()
    tab = page.context.new_page()
    tab.goto(f"{keyed.endpoint}/ui/#/models")
    tab.get_by_role("listitem").filter(has_text="assistant").wait_for()
    tab.get_by_role("button", name="Log out").click()
    tab.get_by_role("heading", name="Log in").wait_for()
    page.bring_to_front()
    page.get_by_role("link", name="Cluster").click()
    page.get_by_role("heading", name="Log in").wait_for()
    wait_for(lambda: page.context.cookies() == [], 10, "the cookie is gone")
