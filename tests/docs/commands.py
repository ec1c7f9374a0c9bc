"""Commands that no test can carry out, checked as far as that goes: options are parsed for real, names are looked up."""

from __future__ import annotations

import ast
import json
import shlex
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from supervisor.launch import LaunchRequest, resolve
from tests.docs.blocks import ROOT
from xinfer.catalog import Catalog
from xinfer.cli import launch as launching
from xinfer.cli import xinfer
from xinfer.client import _calls
from xinfer.cluster.options import StartOptions


def check(text: str) -> None:
    """Check every line of a block; one that begins with anything but ``xinfer`` or ``make`` is an error."""
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]
    assert lines, "nothing to check"
    for line in lines:
        command, *words = shlex.split(line)
        assert command in ("xinfer", "make"), f"neither xinfer nor make, so run it or leave it out: {line}"
        _check_xinfer(words) if command == "xinfer" else _check_make(words)


def _check_make(words: list[str]) -> None:
    """The target is there, and what it would run can be told."""
    done = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), f"make {words} would do nothing"


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
    del options["foreground"]
    StartOptions(**options)
    for model in models:
        Catalog.load().select(model)


def _check_launch(params: dict[str, Any]) -> None:
    """The body that the command would send is one the server takes; a name of the catalog leads to a model."""
    ours = ("words", "wait", "as_json", "endpoint", "api_key")
    options = {name: value for name, value in params.items() if name not in ours}
    call = _calls.launch_model(**launching._keywords(params["words"], options), wait_ready=False)
    request = LaunchRequest.read(json.loads(json.dumps(call.body)))
    request.gpus(cluster_has_gpus=True)
    assert request.engine_args.keys() <= _engine_options(), f"not among vLLM's: {request.engine_args}"
    if not request.model_path:
        assert resolve(request, uids=(), cluster_has_gpus=True).path


@cache
def _engine_options() -> set[str]:
    """The arguments of vLLM's engine, read from its source: importing it takes long."""
    found = find_spec("vllm")
    assert found, "vLLM is not installed"
    assert found.origin
    source = ast.parse((Path(found.origin).parent / "engine" / "arg_utils.py").read_text(encoding="utf-8"))
    fields = next(node for node in source.body if isinstance(node, ast.ClassDef) and node.name == "EngineArgs")
    return {
        node.target.id for node in fields.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
