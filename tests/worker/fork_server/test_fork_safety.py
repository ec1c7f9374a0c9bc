"""What a process notes about itself while it imports, and when it may not be forked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from worker.fork_server.fork_safety import ImportSnapshot, snapshot_imports

BASE = {"HOME": "/h", "READ": "1", "OTHER": "1", "PWD": "/a", "RAY_X": "1", "OMP_NUM_THREADS": "1"}
SNAPSHOT = ImportSnapshot(
    BASE, frozenset({"READ", "UNSET", "PWD", "RAY_X", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"}), {"ADDED": "x"}
)
FAKE_TORCH = """
from types import SimpleNamespace
sys.modules["torch"] = SimpleNamespace(cuda=SimpleNamespace(is_initialized=lambda: True))
"""


def test_notes_every_way_of_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIVEN", "1")

    def import_all() -> None:
        os.environ.get("BY_GET")
        os.getenv("BY_GETENV")
        assert "BY_IN" not in os.environ
        assert os.environ["GIVEN"] == "1"
        monkeypatch.setenv("NEW", "2")

    snapshot = snapshot_imports(import_all)
    assert {"BY_GET", "BY_GETENV", "BY_IN", "GIVEN"} <= snapshot.read
    assert snapshot.added == {"NEW": "2"}
    assert "NEW" not in snapshot.env
    os.environ.get("AFTERWARDS")
    assert "AFTERWARDS" not in snapshot.read


def test_stops_noting_when_an_import_fails() -> None:
    plain = type(os.environ).__getitem__

    def fail() -> None:
        raise ImportError("no engine here")

    with pytest.raises(ImportError):
        snapshot_imports(fail)
    assert type(os.environ).__getitem__ is plain


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, None),
        ({"OTHER": "2"}, None),
        ({"NEVER_READ": "2"}, None),
        ({"PWD": "/b", "RAY_X": "2", "CUDA_VISIBLE_DEVICES": "3"}, None),
        ({"READ": "2"}, "READ"),
        ({"UNSET": "2"}, "UNSET"),
        ({"OMP_NUM_THREADS": "8"}, "OMP_NUM_THREADS"),
        ({"LD_PRELOAD": "x.so"}, "LD_PRELOAD"),
        ({"OPENBLAS_NUM_THREADS": "8"}, "OPENBLAS_NUM_THREADS"),
        ({"PYTORCH_CUDA_ALLOC_CONF": "backend:cudaMallocAsync"}, "PYTORCH_CUDA_ALLOC_CONF"),
        ({"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, None),
        ({"UNSET": "2", "READ": "2"}, "READ, UNSET"),
    ],
)
def test_objection(changes: dict[str, str], named: str | None) -> None:
    objection = SNAPSHOT.objection({**BASE, **changes})
    assert objection == (named and f"{named} must be set before the engine is imported")


def test_objects_to_what_is_missing() -> None:
    assert "READ" in str(SNAPSHOT.objection({"HOME": "/h"}))


def test_environment_of_a_child() -> None:
    """What the imports add is added, unless the launch says otherwise."""
    assert SNAPSHOT.environment({"A": "1"}) == {"A": "1", "ADDED": "x"}
    assert SNAPSHOT.environment({"ADDED": "y"}) == {"ADDED": "y"}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("", None),
        ("import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()", "2 threads"),
        (FAKE_TORCH, "CUDA context"),
    ],
)
def test_unfit_to_fork(code: str, reason: str | None) -> None:
    said = unfit_after(code)
    assert (reason in said) if reason else said == "None"


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a C compiler")
@pytest.mark.parametrize(("answer", "reason"), [(0, "the fork server holds a GPU open"), (3, "None")])
def test_driver_that_is_loaded_and_driver_that_is_used(tmp_path: Path, answer: int, reason: str) -> None:
    """vLLM's own libraries load CUDA's driver, which alone does no harm; it answers 3 until somebody has initialized it."""
    library = tmp_path / "stand-in.so"
    argv = ["gcc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-xc", "-", "-o", str(library)]
    subprocess.run(argv, input=f"int cuDeviceGetCount(int *count) {{ return {answer}; }}", text=True, check=True)
    assert unfit_after(f"import ctypes; ctypes.CDLL({str(library)!r})") == reason


def unfit_after(code: str) -> str:
    """What a process says of itself that has run this."""
    head = f"import sys; sys.path.insert(0, {str(ROOT)!r})"
    script = f"{head}\n{code}\nfrom worker.fork_server.fork_safety import unfit_to_fork\nprint(unfit_to_fork())"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
