"""What is installed for each flavor, in order; each step with its reason, so that it can be shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from .pip import Pip

ROOT = Path(__file__).resolve().parent.parent.parent
LOCKS = ROOT / "deploy" / "locks"
PROJECT = ROOT / "pyproject.toml"
FOREIGN = "supervisor"
"""A process manager that vLLM's metadata asks for and vLLM never imports; its package has the name of one of ours."""


@dataclass(frozen=True)
class Step:
    """One thing to install."""

    name: str
    title: str
    why: str
    inputs: str
    """What the outcome depends on: when it changes, the step is done again."""
    run: Callable[[], None]


def steps(flavor: str, with_tests: bool, pip: Pip) -> list[Step]:
    """The steps of a whole set-up, the environment itself apart."""
    todo = _cuda(pip, with_tests) if flavor == "cuda" else _cpu(pip, with_tests)
    installed = "\n".join(step.inputs for step in todo)
    compiled = Step(
        "bytecode", "bytecode of all packages", "or the first start would compile it", installed, pip.compile
    )
    return [*todo, compiled]


def _cpu(pip: Pip, with_tests: bool) -> list[Step]:
    torch, engine, test = LOCKS / "torch.txt", LOCKS / "cpu.txt", LOCKS / "test.txt"
    every = [
        Step("torch", "PyTorch for the CPU (190 MB)", "the engine computes with it", torch.read_text(),
             lambda: pip.install_torch(torch)),
        Step("engine", "Ray, vLLM and what they need (790 MB)", "the cluster and the engine", engine.read_text(),
             lambda: _install_lock(pip, engine)),
        Step("xinfer", "xinfer from this folder", "changes to its code work at once", PROJECT.read_text(),
             lambda: pip.install("--no-deps", "--no-build-isolation", "-e", str(ROOT))),
        Step("test", "test tools (30 MB)", "pytest, ruff, mypy", test.read_text(),
             lambda: _install_lock(pip, test)),
    ]  # fmt: skip
    return every if with_tests else every[:-1]


def _cuda(pip: Pip, with_tests: bool) -> list[Step]:
    extras = "cuda,test" if with_tests else "cuda"
    return [
        Step(extras, "xinfer, Ray, vLLM and CUDA (about 4 GB)", "with the extras " + extras, PROJECT.read_text(),
             lambda: _install_extras(pip, extras)),
    ]  # fmt: skip


def _install_lock(pip: Pip, lock: Path) -> None:
    pip.install("--no-deps", "-r", str(lock), packages=len(pins(lock)))


def _install_extras(pip: Pip, extras: str) -> None:
    (cpu_build,) = pins(LOCKS / "torch.txt")  # where pip knows this one too, it would take it for the newest
    pip.install("-e", f"{ROOT}[{extras}]", cpu_build.replace("==", "!="))
    pip.uninstall(FOREIGN)


def pins(lock: Path) -> list[str]:
    """The requirements in a lock file."""
    return [line for line in lock.read_text().splitlines() if line and not line.startswith("#")]
