"""Long commands, and what becomes of them."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.gpu.patience import run

CLEANS_UP = """
import pathlib, sys, time
try:
    pathlib.Path(sys.argv[1], "begun").touch()
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(0.5)
    pathlib.Path(sys.argv[1], "cleaned").touch()
    sys.exit(7)
"""


def test_exit_code() -> None:
    assert run([sys.executable, "-c", "raise SystemExit(5)"], 60, env=os.environ) == 5


def test_time_is_up(tmp_path: Path) -> None:
    """What it cleans up takes longer than the time it had left."""
    assert run([sys.executable, "-c", CLEANS_UP, str(tmp_path)], 2, env=os.environ) == 7
    assert (tmp_path / "cleaned").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_from_outside(tmp_path: Path, number: signal.Signals) -> None:
    def stop_when_begun() -> None:
        while not (tmp_path / "begun").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=stop_when_begun)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run([sys.executable, "-c", CLEANS_UP, str(tmp_path)], 60, env=os.environ)
    thread.join()
    assert (tmp_path / "cleaned").exists()
