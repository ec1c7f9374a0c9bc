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


def test_something_else_in_its_place(tmp_path: Path) -> None:
    """A link of somebody else's is not followed, and nobody waits for it."""
    target = tmp_path / "precious"
    target.write_text("content")
    (tmp_path / "lock").symlink_to(target)
    for turn in (StartTurn(tmp_path / "lock"), StartTurn(tmp_path / "lock")):
        assert turn.take()
    assert target.read_text() == "content"
