"""A model that does not fit is refused before its engine starts, with the figures."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT
from tests.waiting import wait_for
from xinfer.client import RESTfulClient
from xinfer.errors import XinferError

MODEL = ROOT / "xinfer" / "tiny_chat" / "model"
SIZE_BYTES = 1024**4
DEADLINE_S = 30.0


def engines_of(uid: str) -> list[int]:
    """Processes with that model's name on their command line."""
    return [process.pid for process in psutil.process_iter(["cmdline"]) if uid in (process.info["cmdline"] or [])]


@pytest.fixture
def huge(tmp_path: Path) -> Path:
    """tiny-chat with a file of weights of 1 TiB, which takes no room on the disk."""
    folder = tmp_path / "huge"
    shutil.copytree(MODEL, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    with (folder / "model.safetensors").open("wb") as weights:
        weights.truncate(SIZE_BYTES)
    return folder


def test_model_that_does_not_fit(client: RESTfulClient, huge: Path) -> None:
    """In seconds, with no engine started; the UID is free again."""
    began, seen = time.monotonic(), set()
    client.launch_model("huge", model_uid="huge", model_path=str(huge), n_gpu=None, wait_ready=False)

    def ended() -> bool:
        seen.update(engines_of("huge"))
        return bool(client.get_launch_model_progress("huge")["stage"] == "failed")

    wait_for(ended, DEADLINE_S, "the refusal")
    assert time.monotonic() - began < DEADLINE_S
    reason = client.get_launch_model_progress("huge")["error"]
    for figure in ("needs 1026.00 GiB", "weights 1024.00 GiB", "KV cache 1.00 GiB", "overhead 1.00 GiB"):
        assert figure in reason
    assert re.search(r"of this node's \d+\.\d\d GiB \d+\.\d\d GiB are free", reason)
    assert "--kv-cache-gib" in reason
    assert not seen, "no engine was started"
    assert "huge" not in client.list_models()


def test_context_that_the_cache_cannot_hold(client: RESTfulClient) -> None:
    """Whoever waits for the launch hears why, and what would fit."""
    with pytest.raises(XinferError) as refusal:
        client.launch_model("tiny-chat", model_uid="long", n_gpu=None, kv_cache_gib=0.004, dtype="bfloat16")
    assert "4096 tokens" in str(refusal.value)
    assert "--context-length of at most 2097" in str(refusal.value)
    assert not engines_of("long")
