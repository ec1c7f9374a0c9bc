"""The site that ``make docs`` builds: complete, without a warning, and with nothing that comes from elsewhere."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from html import unescape

import click
import pytest

import xinfer.client
from tests.docs.blocks import ROOT
from tests.docs.site import Site
from xinfer import errors
from xinfer.cli import xinfer as root
from xinfer.cli.group import COMMANDS

DOCS = ROOT / "docs"
STRICT = ["-W", "--keep-going"]
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The site, built once, without a way to the network."""
    folder = tmp_path_factory.mktemp("site")
    argv = [sys.executable, "-m", "sphinx", "-q", *STRICT, "-d", f"{folder}/doctrees", str(DOCS), f"{folder}/html"]
    env = {**os.environ, "http_proxy": NOWHERE, "https_proxy": NOWHERE}
    done = subprocess.run(argv, env=env, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stderr) == (0, ""), f"{done.stdout}{done.stderr}"
    return Site(folder / "html")


def test_make_docs_is_as_strict() -> None:
    done = subprocess.run(["make", "-n", "docs"], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert " ".join(STRICT) in done.stdout, done.stdout + done.stderr


def test_every_page_is_reached_from_the_first(site: Site) -> None:
    pages = {str(file.relative_to(DOCS).with_suffix(".html")) for file in DOCS.rglob("*.md")} - {"index.html"}
    assert pages <= site.page("index").links


def test_links_within_the_site_lead_somewhere(site: Site) -> None:
    for page in site.pages.values():
        for link in sorted(page.links):
            path, _, anchor = link.partition("#")
            target = (page.file.parent / path).resolve() if path else page.file
            if ":" not in link and target.suffix == ".html":
                assert target in site.pages, f"{page.file.name}: {link}"
                assert not anchor or anchor in site.pages[target].ids, f"{page.file.name}: {link}"


def test_nothing_is_loaded_from_elsewhere(site: Site) -> None:
    loaded = [where for page in site.pages.values() for where in page.loads] + list(site.loaded_by_styles())
    assert loaded
    assert [where for where in loaded if "//" in where and not where.startswith("data:")] == []


def test_a_page_says_which_language_it_is_in(site: Site) -> None:
    assert (site.page("chat").language, site.page("zh-TW/chat").language) == ("en", "zh-TW")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_reference_has_every_command_with_its_options(site: Site, name: str) -> None:
    page = site.page("cli-reference")
    command = root.get_command(click.Context(root), name)
    assert command
    options = [option for parameter in command.params if isinstance(parameter, click.Option) and not parameter.hidden
               for option in parameter.opts]  # fmt: skip
    missing = [option for option in options if f"cmdoption-xinfer-{name}-{option.lstrip('-')}" not in page.html]
    assert f"xinfer-{name}" in page.ids
    assert missing == []


@pytest.mark.parametrize("name", xinfer.client.__all__)
def test_the_reference_has_every_public_method_of_the_client(site: Site, name: str) -> None:
    kind = getattr(xinfer.client, name)
    methods = [name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")]
    page = site.page("sdk-reference")
    assert {
        f"xinfer.client.{kind.__name__}",
        *(f"xinfer.client.{kind.__name__}.{name}" for name in methods),
    } <= page.ids
    assert "Call[" not in unescape(page.html), "a method's value is shown, and not the call that gets it"


def test_the_reference_has_every_error(site: Site) -> None:
    kinds = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.XinferError)}
    assert {f"xinfer.errors.{kind.__name__}" for kind in kinds} <= site.page("sdk-reference").ids
