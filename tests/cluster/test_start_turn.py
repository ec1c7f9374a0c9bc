"""Two clusters that start at once on one machine."""

from __future__ import annotations

import threading
from pathlib import Path

from xinfer.cluster.lifecycle import StartTurn


def test_one_after_the_other(tmp_path: Path) -> None:
    first = StartTurn(tmp_path / "lock")
    second = StartTurn(tmp_path / "lock")
    assert first.take()
    assert not second.take()
    waited = threading.Event()

    def wait() -> None:
        second.wait()
        waited.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not waited.wait(0.2)
    first.end()
    assert waited.wait(5)
    thread.join()
    second.end()
    third = StartTurn(tmp_path / "lock")
    assert third.take()
    third.end()
