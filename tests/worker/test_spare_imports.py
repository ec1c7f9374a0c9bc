"""Which of Ray's processes import a replica's modules as they start."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from xinfer.cluster import prestart


def imported(home: Path) -> bool:
    """Whether a process that starts now has a replica's modules."""
    wanted = {"worker.replica", "ray.serve._private.replica", "pydantic.v1"}
    program = f"import sys, {prestart.PRELOADED_MODULES}; print({wanted} <= set(sys.modules))"
    env = {**os.environ, "XINFER_HOME": str(home)}
    return subprocess.check_output([sys.executable, "-c", program], env=env, text=True).strip() == "True"


def test_only_spare_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    assert not imported(tmp_path)
    prestart.announce(tmp_path)
    assert imported(tmp_path)
    later = time.time() + 60
    monkeypatch.setattr(time, "time", lambda: later)
    assert not prestart.is_announced(tmp_path)
