"""What the architecture page says of the code is true as far as a test can tell."""

from __future__ import annotations

import re

import pytest

from tests.docs.blocks import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
TABLE = PAGE[PAGE.index("## Packages\n") : PAGE.index("## Where to look\n")]
ROWS = [row.split("|")[1] for row in TABLE.splitlines() if row.startswith("| `")]
OUTSIDE_OF_THE_TABLE = re.findall(r"`((?:xinfer|supervisor|worker)\.[\w.]+)`", PAGE)


def _exists(module: str) -> bool:
    path = ROOT / module.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


@pytest.mark.parametrize("row", ROWS)
def test_the_packages_of_a_row_are_there(row: str) -> None:
    names = re.findall(r"`([\w./]+)`", row)
    assert names
    assert [name for name in names if not _exists(name.rstrip("/"))] == []


def test_modules_named_in_the_text_are_there() -> None:
    assert [name for name in OUTSIDE_OF_THE_TABLE if not _exists(name)] == []
