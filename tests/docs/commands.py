"""Commands that no test can carry out, checked as far as that goes: options are parsed for real, names are looked up."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from setup_parts.pip import TORCH_INDEX

from supervisor.launching.launch_request import LaunchRequest
from supervisor.launching.resolve import resolve
from tests.clients.environments import REQUIREMENTS
from tests.docs.blocks import ROOT
from xinfer.catalog import Catalog
from xinfer.catalog.gpu_places import NodeGpus
from xinfer.cli import launch as launching
from xinfer.cli import xinfer
from xinfer.client import _calls
from xinfer.cluster.options import StartOptions
from xinfer.node_labels import parse_labels

_HOLD_OPTIONS = ("EngineArgs", "BaseFrontendArgs", "FrontendArgs")
"""vLLM's classes whose fields are its server's flags."""


_ELSEWHERE = ("docker", "helm", "kind", "kubectl", "sbatch", "ray", "openssl", "chmod", "curl")
"""Programs of operators, which no machine of the tests has."""


def check(text: str) -> None:
    """Check every line of a block; one that begins with a command that is not known here is an error."""
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]
    assert lines, "nothing to check"
    for line in lines:
        command, *words = shlex.split(line)
        known = {"xinfer": _check_xinfer, "make": _check_make, "vllm": _check_vllm, "pip": _check_pip}
        known |= dict.fromkeys(("uv", "pipx"), _check_tool)
        known |= dict.fromkeys((*_ELSEWHERE, *_scripts()), _check_elsewhere)
        known |= dict.fromkeys(("python", "python3", "python3.12"), _check_python)
        program = command.removeprefix(".venv/bin/")
        assert program in known, f"none of {list(known)}, so run it or leave it out: {line}"
        known[program](words)


def _scripts() -> list[str]:
    """Those for operators in deploy/, as they are called."""
    return [str(path.relative_to(ROOT)) for path in (ROOT / "deploy/compose").iterdir() if os.access(path, os.X_OK)]


def _check_make(words: list[str]) -> None:
    """The target is there, and what it would run can be told."""
    done = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), f"make {words} would do nothing"


def _check_vllm(words: list[str]) -> None:
    """vLLM's server has these flags."""
    assert words[0] == "serve", words
    flags = {word.removeprefix("--").partition("=")[0].replace("-", "_") for word in words if word.startswith("--")}
    assert flags <= _engine_options(), f"not among vLLM's: {flags - _engine_options()}"


def _check_python(words: list[str]) -> None:
    """It runs a module that is there, or a script of ours with flags of its own."""
    program, *rest = words
    if program == "-m":
        assert find_spec(rest[0]), f"there is no module {rest[0]}"
        return
    argv = [sys.executable, str(ROOT / program), "--help"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    strange = {word for word in rest if word.startswith("--")} - set(re.findall(r"--[a-z-]+", done.stdout))
    assert not strange, f"{program} has no {strange}"


def _check_pip(words: list[str]) -> None:
    """What is to be installed is an extra of xinfer's, or what the tests of clients have installed."""
    if words == ["uninstall", "-y", "supervisor"]:
        return
    assert words[0] == "install", words
    if words[1] == "-e":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert words[2] in {f".[{extra}]" for extra in extras}, f"xinfer has no such extra: {words[2]}"
        return
    if any(Requirement(word).name == "xinfer" for word in words[1:2]):
        _check_install(words[1:])
        return
    asked = {canonicalize_name(Requirement(word).name) for word in words[1:]}
    pinned = {canonicalize_name(Requirement(line).name) for file in REQUIREMENTS.glob("*.txt")
              for line in file.read_text().splitlines() if line and not line.startswith("#")}  # fmt: skip
    assert asked <= pinned, f"in no environment of the tests: {asked - pinned}"


def _check_elsewhere(words: list[str]) -> None:
    """The files of ours that a program of another machine gets are there, and the chart has the values that are set."""
    written = set(words[words.index(">") + 1 :]) if ">" in words else set()
    for word in words:
        if word.startswith("deploy/") and word not in written and not word.endswith(".token"):
            assert (ROOT / word).exists(), f"there is no {word}"
    values = yaml.safe_load((ROOT / "deploy/helm/xinfer/values.yaml").read_text())
    for option, word in pairwise(words):
        if option == "--set":
            key = re.sub(r"\[\d+\]", ".0", word.partition("=")[0])
            _value_of(values, key)


def _value_of(values: Any, key: str) -> None:
    for part in key.split("."):
        values = values[int(part)] if isinstance(values, list) else values[part]


def _check_tool(words: list[str]) -> None:
    """``uv tool install`` and ``pipx install`` of a wheel with its extra."""
    _check_install(words[words.index("install") + 1 :])


def _check_install(words: list[str]) -> None:
    (requirement, *options) = words
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert Requirement(requirement).name == "xinfer"
    assert Requirement(requirement).extras <= set(extras), f"xinfer has no such extra: {requirement}"
    assert options in ([], ["--extra-index-url", TORCH_INDEX]), options


def _check_xinfer(words: list[str]) -> None:
    name, *rest = words
    root = click.Context(xinfer, info_name="xinfer")
    command = xinfer.get_command(root, name)
    assert command, f"xinfer has no command {name}"
    context = command.make_context(name, rest, parent=root)
    if name == "start":
        _check_start(dict(context.params))
    elif name == "launch":
        _check_launch(dict(context.params))


def _check_start(options: dict[str, Any]) -> None:
    models = options.pop("models")
    labels = parse_labels(options.pop("labels"))
    for of_the_command_alone in ("foreground", "drain_timeout", "models_file", "expect_nodes", "token"):
        del options[of_the_command_alone]
    StartOptions(**options, labels=labels)
    for model in models:
        Catalog.load().select(model)


def _check_launch(params: dict[str, Any]) -> None:
    """The body that the command would send is one the server takes; a name of the catalog leads to a model."""
    ours = ("words", "wait", "as_json", "endpoint", "api_key")
    options = {name: value for name, value in params.items() if name not in ours}
    call = _calls.launch_model(**launching._keywords(params["words"], options), wait_ready=False)
    request = LaunchRequest.read(json.loads(json.dumps(call.body)))
    assert request.gpus is None or request.gpus >= 0
    assert request.engine_args.keys() <= _engine_options(), f"not among vLLM's: {request.engine_args}"
    if not request.model_path:
        assert resolve(request, uids=(), nodes=[NodeGpus(8, 8)]).path


@cache
def _engine_options() -> set[str]:
    """The arguments of vLLM's server, read from its source: importing it takes long."""
    found = find_spec("vllm")
    assert found, "vLLM is not installed"
    assert found.origin
    folder = Path(found.origin).parent
    files = (folder / "engine" / "arg_utils.py", folder / "entrypoints" / "launchers" / "cli_args.py")
    classes = (node for file in files for node in ast.parse(file.read_text(encoding="utf-8")).body)
    return {
        node.target.id for found in classes if isinstance(found, ast.ClassDef) and found.name in _HOLD_OPTIONS
        for node in found.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }  # fmt: skip
