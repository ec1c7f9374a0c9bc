"""The virtual environment as a whole: made where it is missing or unfit, and known by its stamp."""

from __future__ import annotations

from pathlib import Path

from . import pythons
from .console import Console
from .errors import CommandFailed, SetupFailed
from .stamp import Stamp, fingerprint
from .steps import ROOT, Step


class Environment:
    """One virtual environment for one flavor of xinfer."""

    def __init__(self, folder: Path, flavor: str, console: Console) -> None:
        self.folder, self.flavor, self.console = folder, flavor, console
        self.python = folder / "bin" / "python"
        self.stamp = Stamp(folder / "xinfer-setup.json")
        self.version = pythons.version_of(folder)

    def unfit(self) -> str:
        """Why the environment has to be made first; empty where it is fine."""
        if not (self.folder / "pyvenv.cfg").exists():
            return "there is none yet"
        if self.stamp.flavor not in ("", self.flavor):
            return f"it was made for {self.stamp.flavor}"
        if self.version is None:
            return "its Python is gone, has no pip, or is not 3.11 to 3.13"
        return ""

    def make(self) -> None:
        """Makes the environment, in place of what is there if that was one."""
        is_venv = (self.folder / "pyvenv.cfg").exists()
        if self.folder.exists() and any(self.folder.iterdir()) and not is_venv and not self.console.log.exists():
            raise SetupFailed(f"{self.folder} has other files in it: name another place with --venv.")
        python = pythons.pick(pythons.candidates())
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self.console.run([python, "-I", "-m", "venv", *(["--clear"] if is_venv else []), str(self.folder)])
        except CommandFailed as failed:
            raise SetupFailed(f"{python} could not make the environment.") from failed
        self.stamp = Stamp(self.stamp.path)
        self.version = pythons.version_of(self.folder)

    def lacks(self, step: Step) -> bool:
        """Whether the step has not been done here, or with something else."""
        return not self.stamp.has(step.name, self._mark(step))

    def finish(self, step: Step) -> None:
        self.stamp.flavor = self.flavor
        self.stamp.add(step.name, self._mark(step))

    def _mark(self, step: Step) -> str:
        return fingerprint(step.inputs, self.version, self.folder, ROOT)
