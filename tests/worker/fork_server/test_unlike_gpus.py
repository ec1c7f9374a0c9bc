"""Which GPUs one fork server can serve."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from worker.fork_server.process import unlike_gpus


class Capability(str):
    """As vLLM's: hashable, and written with a dot."""

    def as_version_str(self) -> str:
        return str(self)


@pytest.mark.parametrize(
    ("is_cuda", "gpus", "reason"),
    [
        (False, ["8.0", "9.0"], None),
        (True, ["9.0"], None),
        (True, ["9.0", "9.0"], None),
        (True, ["9.0", "8.0", "9.0"], "the GPUs of this node differ (compute capability 8.0, 9.0)"),
        (True, [None], None),  # the driver did not tell
    ],
)
def test_alike(monkeypatch: pytest.MonkeyPatch, is_cuda: bool, gpus: list[str | None], reason: str | None) -> None:
    platform = SimpleNamespace(
        is_cuda=lambda: is_cuda,
        device_count=lambda: len(gpus),
        get_device_capability=lambda number: gpus[number] and Capability(gpus[number]),
    )
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "vllm.platforms", SimpleNamespace(current_platform=platform))
    assert unlike_gpus() == reason
