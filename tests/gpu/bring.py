"""Gathers all wheels that a machine without a network needs, in parts small enough to be carried there one by one.

Run it where packages can be had, with the Python that the other machine has: ``python3.12 tests/gpu/bring.py PARTS``. What a
machine with PyTorch for CUDA has already stays out, and so do kernels for models and GPUs that a turn does not use. ``turn.py``
joins the parts and installs them.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "deploy"), str(ROOT)]
from lock import pin, resolve  # noqa: E402  # deploy/ is no package

from tests.gpu.parts import NAME, SUMS  # noqa: E402

THERE = (
    *("torch", "torchvision", "torchaudio", "triton", "nvidia-*", "cuda-*"),
    *("numpy", "numba", "llvmlite", "opencv-python-headless", "pillow", "sympy", "mpmath", "networkx"),
    *("matplotlib", "contourpy", "cycler", "fonttools", "kiwisolver", "pyparsing"),
)
UNUSED = ("flashinfer-*", "tilelang", "z3-solver", "quack-kernels", "supervisor", "sentry-sdk", "fastapi-cloud-cli")
TESTS = ("pytest", "pytest-asyncio", "pytest-timeout")
_MIB = 1024**2


def main() -> None:
    """Resolve, download, join, cut."""
    asked = _arguments()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    tests = [each for each in project["optional-dependencies"]["test"] if each.startswith(TESTS)]
    found = resolve([f"vllm=={asked.vllm}", *project["dependencies"], *tests], keep={})
    left_out = {name for name in found if any(fnmatch.fnmatch(name, each) for each in (*THERE, *UNUSED))}
    pins = [pin(found, name) for name in sorted(found.keys() - left_out)]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "-d", folder]
        subprocess.run([*command, *pins], check=True)
        count, size = cut(sorted(Path(folder).glob("*.whl")), asked.parts, asked.part_mib * _MIB)
    print(f"{len(pins)} wheels, {size / _MIB:.0f} MiB in {count} parts; left out: {', '.join(sorted(left_out))}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", type=Path, help="folder to write to; each part is a folder of its own in it")
    parser.add_argument("--vllm", default="0.20.2", help="the one that fits the other machine's PyTorch  [0.20.2]")
    parser.add_argument("--part-mib", type=int, default=56, help="most MiB of a part  [56]")
    return parser.parse_args()


def cut(wheels: list[Path], parts: Path, most_bytes: int) -> tuple[int, int]:
    """One tar of all wheels, in files of at most so many bytes; how many, and how large they are together."""
    joined = io.BytesIO()
    with tarfile.open(fileobj=joined, mode="w") as tar:
        for wheel in wheels:
            tar.add(wheel, arcname=wheel.name)
    content = joined.getbuffer()
    pieces = [content[start : start + most_bytes] for start in range(0, len(content), most_bytes)]
    sums = "".join(f"{hashlib.sha256(piece).hexdigest()}  {NAME.format(n)}\n" for n, piece in enumerate(pieces))
    for number, piece in enumerate(pieces):
        folder = parts / f"{number:02}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / NAME.format(number)).write_bytes(piece)
        (folder / SUMS).write_text(sums)
    return len(pieces), len(content)


if __name__ == "__main__":
    main()
