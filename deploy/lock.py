"""Writes deploy/locks/*.txt from the ranges in pyproject.toml: `make lock`.

pip resolves (`--dry-run --report`); this script leaves out what must not be installed, and marks the pins that only one
kind of machine needs, so that one file serves every Python and machine that xinfer supports.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from setup_parts.pip import MISSING, TORCH_INDEX

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.12", "3.13")
MACHINES = ("x86_64", "aarch64")

TORCH = "torch"
LEFT_OUT = {
    "torchvision": "built for CUDA on the public index, breaks `import transformers` beside torch's CPU build",
    "torchaudio": "as torchvision",
    "torchcodec": "as torchvision",
    "triton": "compiles for GPUs, takes 1 GB on disk and 80 MB in an engine, and vLLM's build for CPUs turns it off",
    "supervisor": "a process manager that the engine never imports, with the name of our own package",
}
HEAD = f"""\
# Written by `make lock` (deploy/lock.py) from pyproject.toml: {{content}}. Don't edit.
# For Python {", ".join(PYTHONS)} on Linux, {" and ".join(MACHINES)}.
# Installed by deploy/setup.py with `pip install --no-deps -r`, since packages are missing here on purpose:
""" + "".join(f"#   {name}: {reason}\n" for name, reason in LEFT_OUT.items())

Packages = dict[str, dict[str, Any]]
"""The metadata that pip reports, by normalized name."""


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    engine_roots = [*project["dependencies"], *project["optional-dependencies"]["cpu"]]
    all_roots = [*engine_roots, *project["optional-dependencies"]["test"]]
    engine = resolve(engine_roots, keep={})
    everything = resolve(all_roots, keep=engine)
    write("torch", "the one package that may need an index of its own", [pin(engine, TORCH)])
    write("cpu", "base and extra `cpu`, torch apart", pins(engine, engine_roots, leave_out={TORCH, *LEFT_OUT}))
    write("test", "what extra `test` adds", pins(everything, all_roots, leave_out={*engine, *LEFT_OUT}))


def resolve(roots: list[str], keep: Packages, *options: str) -> Packages:
    """Everything that pip would install into an empty environment, at the versions of `keep` where it has them."""
    with tempfile.TemporaryDirectory() as folder:
        report, constraints = Path(folder, "report.json"), Path(folder, "keep.txt")
        constraints.write_text("".join(pin(keep, name) + "\n" for name in keep))
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", *options]
        command += ["--report", str(report), "--constraint", str(constraints), *roots]
        print("resolving", *roots, *options, flush=True)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode and MISSING.search(done.stdout) and not options:
            return resolve(roots, keep, "--extra-index-url", TORCH_INDEX)
        if done.returncode:
            sys.exit(done.stdout)
        found = json.loads(report.read_text())["install"]
    return {canonicalize_name(item["metadata"]["name"]): item["metadata"] for item in found}


def pins(packages: Packages, roots: list[str], leave_out: set[str]) -> list[str]:
    """A line per package that some supported Python needs; with a marker where only some machines do."""
    machines: dict[str, list[str]] = {}
    for machine in MACHINES:
        for name in needed(packages, roots, machine):
            machines.setdefault(name, []).append(machine)
    return [pin(packages, name) + marker(machines[name]) for name in sorted(machines.keys() - leave_out)]


def pin(packages: Packages, name: str) -> str:
    return f"{name}=={packages[name]['version']}"


def marker(machines: list[str]) -> str:
    return "" if len(machines) == len(MACHINES) else f' ; platform_machine == "{machines[0]}"'


def needed(packages: Packages, roots: list[str], machine: str) -> set[str]:
    """The names that `roots` lead to on `machine` with any supported Python, but not by way of a left-out package."""
    seen: set[tuple[str, str]] = set()
    for python in PYTHONS:
        environment = {"python_version": python, "python_full_version": f"{python}.0", "platform_machine": machine}
        queue = [(Requirement(root), "") for root in roots]
        while queue:
            requirement, extra = queue.pop()
            if requirement.marker and not requirement.marker.evaluate({**environment, "extra": extra}):
                continue
            name = canonicalize_name(requirement.name)
            for wanted in {"", *requirement.extras}:
                if (name, wanted) not in seen and name not in LEFT_OUT:
                    seen.add((name, wanted))
                    queue += [(Requirement(line), wanted) for line in packages[name].get("requires_dist", [])]
    return {name for name, _ in seen}


def write(name: str, content: str, lines: list[str]) -> None:
    path = ROOT / "deploy" / "locks" / f"{name}.txt"
    path.write_text(HEAD.format(content=content) + "\n".join(lines) + "\n")
    print(f"{path.relative_to(ROOT)}: {len(lines)} packages")


if __name__ == "__main__":
    main()
