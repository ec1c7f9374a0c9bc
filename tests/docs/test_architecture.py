"""What the architecture page says of the code is true as far as a test can tell."""

from __future__ import annotations

import re

import pytest

from tests.docs.blocks import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
TABLE = PAGE[PAGE.index("## Packages and modules") : PAGE.index("## Choices, and the reasons")]
NAMED = [re.findall(r"`([\w.]+)`", row.split("|")[1]) for row in TABLE.splitlines() if row.startswith("| `")]
OUTSIDE_OF_THE_TABLE = re.findall(r"`((?:xinfer|supervisor|worker)\.[\w.]+)`", PAGE)


def _exists(module: str) -> bool:
    path = ROOT / module.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


@pytest.mark.parametrize("first_and_siblings", [names for names in NAMED if names], ids=lambda names: names[0])
def test_the_modules_of_a_row_are_there(first_and_siblings: list[str]) -> None:
    first, *siblings = first_and_siblings
    package = first.rpartition(".")[0]
    missing = [name for name in (first, *(f"{package}.{sibling}" for sibling in siblings)) if not _exists(name)]
    assert missing == []


def test_modules_named_in_the_text_are_there() -> None:
    assert [name for name in OUTSIDE_OF_THE_TABLE if not _exists(name)] == []
