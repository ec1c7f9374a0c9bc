"""Links between the documents lead to files and headings that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, anchors, documents, links


@pytest.mark.parametrize("file", documents(), ids=lambda file: str(file.relative_to(ROOT)))
def test_relative_links_lead_somewhere(file: Path) -> None:
    for link in links(file):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, fragment = link.partition("#")
        target = (file.parent / path).resolve() if path else file
        assert target.exists(), f"{file.name}: {link}"
        assert target.is_relative_to(ROOT), f"{file.name}: {link} leads out of the repository"
        if fragment:
            assert fragment in anchors(target), f"{file.name}: {link} is none of {sorted(anchors(target))}"
