"""The API page's table of Xinference's API is true: what it says is there is there, and what it says is left out says so."""

from __future__ import annotations

import re

import pytest

from supervisor.api.unsupported_routes import UNSUPPORTED, why_unsupported
from tests.conftest import ROOT
from tests.supervisor.document import operations

PAGE = (ROOT / "docs" / "api.md").read_text()
TABLE = PAGE[PAGE.index("## Xinference's API, row by row") :]
MARKS = {"same", "differs", "left out", "own"}
ROWS = [
    (re.findall(r"`([^`]+)`", routes), mark, note)
    for routes, mark, note in re.findall(r"^\| (.+?) \| (.+?) \| ?(.*?) ?\|$", TABLE, re.MULTILINE)
    if routes != "route"
]
SERVED = {f"{method} {path}" for method, path in operations()}


@pytest.mark.parametrize(("routes", "mark", "note"), ROWS, ids=[row[0][0] for row in ROWS])
def test_row(routes: list[str], mark: str, note: str) -> None:
    assert mark in MARKS
    assert note or mark != "differs", "it has to say how"
    for route in routes:
        if mark != "left out":
            assert route in SERVED
            continue
        method, _, path = route.rpartition(" ")
        path = re.sub(r"\{\w+\}", "x", path.replace("…", "x"))
        assert why_unsupported(method or "POST", path), route


def test_every_route_has_its_row() -> None:
    told = [route for routes, _, _ in ROWS for route in routes]
    left_out = [path.replace("{rest:path}", "…") for row in UNSUPPORTED for path in row.paths]
    assert len(set(told)) == len(told)
    assert {route.rpartition(" ")[2] for route in told if route not in SERVED} == set(left_out)
    assert set(told) >= SERVED


def test_routes_named_elsewhere_on_the_page_are_there() -> None:
    head = PAGE[: PAGE.index("The Python client has a method for each")]
    named = re.findall(r"`((?:GET|POST|DELETE) /[^`?]*)", head)
    assert set(named) <= SERVED
    assert len(named) > 20
