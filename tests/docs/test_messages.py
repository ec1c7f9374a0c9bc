"""Messages of xinfer that the documents show are the ones it prints."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.docs.blocks import ENDPOINT, ROOT, blocks
from xinfer.cli import start as cli
from xinfer.cluster.lifecycle import NodeLifecycle
from xinfer.cluster.options import StartOptions
from xinfer.errors import Conflict


def test_the_ready_message_of_make_serve_is_the_one_shown() -> None:
    real = cli._READY.format(endpoint=ENDPOINT, uid="tiny-chat", command="xinfer", python="python")
    for name in ("README.md", "README.zh-TW.md"):
        shown = next(block.text for block in blocks(ROOT / name) if block.text.startswith("xinfer is ready"))
        assert shown in real


def test_the_refusal_of_a_foreign_supervisor_package_is_the_one_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(Conflict) as refused:
        next(NodeLifecycle(tmp_path).start(StartOptions()))
    assert refused.value.message in (ROOT / "docs" / "operations.md").read_text()
