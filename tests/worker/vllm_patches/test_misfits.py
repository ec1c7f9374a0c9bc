"""Packages that are of no use beside torch's CPU build: found, and not importable any more."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from worker.vllm_patches.misfits import misfits


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where packages are, with no Triton among them."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    return tmp_path


def versions(**installed: str) -> list[str]:
    def version(name: str) -> str:
        if name not in installed:
            raise PackageNotFoundError(name)
        return installed[name]

    return misfits(version)


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        ({"torch": "2.13.0+cpu"}, []),
        ({"torch": "2.13.0+cpu", "torchvision": "0.28.0+cpu"}, []),
        ({"torch": "2.13.0+cpu", "torchvision": "0.28.0"}, ["torchvision"]),
        ({"torch": "2.13.0+cpu", "torchvision": "0.28.0", "torchaudio": "2.11.1"}, ["torchvision", "torchaudio"]),
        ({"torch": "2.13.0", "torchvision": "0.28.0"}, []),
        ({"torch": "2.13.0+cu130", "torchvision": "0.28.0+cu130"}, []),
        ({"torchvision": "0.28.0"}, []),
    ],
)
def test_which(installed: dict[str, str], expected: list[str]) -> None:
    assert versions(**installed) == expected


@pytest.mark.parametrize(
    ("torch", "backends", "expected"),
    [
        ("2.13.0+cpu", ("amd", "nvidia"), ["triton"]),
        ("2.13.0+cpu", ("cpu", "nvidia"), []),
        ("2.13.0+cu130", ("amd", "nvidia"), []),
    ],
    ids=["for GPUs alone", "for CPUs too", "beside torch for GPUs"],
)
def test_triton(places: Path, torch: str, backends: tuple[str, ...], expected: list[str]) -> None:
    for name in backends:
        (places / "triton" / "backends" / name).mkdir(parents=True)
    (places / "triton" / "__init__.py").write_text("raise RuntimeError('to be found, and not imported')")
    importlib.invalidate_caches()
    assert versions(torch=torch) == expected


def test_hidden_ones_are_not_found_by_whoever_looks_before_importing(tmp_path: Path) -> None:
    """As transformers does."""
    for name, version in (("torch", "2.13.0+cpu"), ("torchvision", "0.28.0")):
        (tmp_path / f"{name}-{version}.dist-info").mkdir()
        (tmp_path / f"{name}-{version}.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import importlib.util\n"
        "from worker.vllm_patches.misfits import hide_misfits\n"
        "assert importlib.util.find_spec('torchvision')\n"
        "hide_misfits()\n"
        "assert importlib.util.find_spec('torchvision') is None\n"
        "try:\n    import torchvision\nexcept ImportError:\n    print('hidden')\n"
    )
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "hidden\n"
    )
