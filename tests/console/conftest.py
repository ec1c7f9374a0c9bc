"""A real browser on the cluster that the whole session shares."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.conftest import ROOT, RunningCluster

CONSOLE = ROOT / "supervisor" / "console"
SHOTS = Path(os.environ.get("CONSOLE_SHOTS", ROOT / "build" / "console"))
"""Where screenshots go."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 60_000
"""For what a cluster on a loaded machine does."""


def missing(what: str) -> NoReturn:
    """Skip; in CI, where the set-up brings everything, fail."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}, which the set-up should have brought")
    pytest.skip(what)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium. It ends with the module: Playwright's event loop would be in the way of asynchronous tests elsewhere."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        missing("There is no Chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


Open = Callable[..., Any]


@pytest.fixture
def open_at(browser: Any) -> Iterator[Open]:
    """Opens pages of the console of any cluster: ``open_at(endpoint, "#/models", width=320, dark=True, language="zh-TW")``.

    Whatever a page writes to the browser's console as an error fails the test, unless it has one of the texts ``tolerates``.
    """
    errors: list[str] = []
    contexts: list[Any] = []

    def open_at(
        endpoint: str,
        place: str = "",
        *,
        width: int = 1280,
        height: int = 800,
        dark: bool = False,
        language: str = "en-US",
        setup: Callable[[Any], None] | None = None,
        tolerates: tuple[str, ...] = (),
    ) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            locale=language,
            reduced_motion="reduce",
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("console", lambda said: errors.append(said.text) if is_fault(said, tolerates) else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        if setup:
            setup(page)
        page.goto(f"{endpoint}/ui/{place}")
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def open_page(open_at: Open, cluster: RunningCluster) -> Open:
    """The same on the shared cluster: ``open_page("#/models")``."""
    return partial(open_at, cluster.endpoint)


def is_fault(said: Any, tolerated: tuple[str, ...]) -> bool:
    """An error, a request that was refused included."""
    if said.type != "error":
        return False
    return not any(text in said.text for text in tolerated)


def shoot(page: Any, name: str, *, full: bool = False) -> None:
    """A picture for docs/console.md, and for whoever looks after a failure."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=full)


def serious_faults(page: Any) -> list[str]:
    """What axe finds that keeps people out: its serious and critical findings, with where they are."""
    source = CONSOLE / "node_modules" / "axe-core" / "axe.min.js"
    if not source.exists():
        missing("The console's packages of Node are not installed (`make console`)")
    # Evaluated by the debugger, which the page's own policy does not bind.
    page.evaluate(source.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


def sideways(page: Any) -> int:
    """Pixels that the page is wider than the window: it would have to be scrolled sideways."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
