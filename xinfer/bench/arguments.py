"""Types of the options of ``xinfer bench`` and ``xinfer bench-launch``."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from xinfer.bench.cpu import is_alive
from xinfer.bench.plan import Kind, Level
from xinfer.bench.target import base_url
from xinfer.gpus import gpus

STDOUT = Path("-")

_Param = click.Parameter | None
_Context = click.Context | None


class Url(click.ParamType[str]):
    """The address of a server, with or without ``/v1``."""

    name = "url"

    def convert(self, value: Any, param: _Param, ctx: _Context) -> str:
        try:
            return base_url(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Levels(click.ParamType[tuple[Level, ...]]):
    """Numbers with commas between; whole ones if they are numbers of requests."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.name = "n,n,..."

    def convert(self, value: Any, param: _Param, ctx: _Context) -> tuple[Level, ...]:
        try:
            return tuple(map(self._level, value.split(",")))
        except ValueError:
            self.fail(f"{value!r}: expected numbers above 0 with commas between", param, ctx)

    def _level(self, text: str) -> Level:
        if self.kind == "concurrency":
            number: float = int(text)
        else:
            number = float(text)
        if not 0 < number < float("inf"):
            raise ValueError
        return Level(self.kind, number)


class JsonObject(click.ParamType[dict[str, Any]]):
    name = "json"

    def convert(self, value: Any, param: _Param, ctx: _Context) -> dict[str, Any]:
        try:
            found = json.loads(value)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            self.fail(f"{value!r}: expected a JSON object", param, ctx)
        return found


class NamedProcess(click.ParamType[tuple[str, int]]):
    """A running process, and the name that it is reported under."""

    name = "name=pid"

    def convert(self, value: Any, param: _Param, ctx: _Context) -> tuple[str, int]:
        name, _, pid = value.partition("=")
        if not name or not pid.isdecimal():
            self.fail(f"{value!r}: expected NAME=PID", param, ctx)
        if not is_alive(int(pid)):
            self.fail(f"{value!r}: no process has this id", param, ctx)
        return name, int(pid)


class Gpu(click.ParamType[str]):
    name = "index"

    def convert(self, value: Any, param: _Param, ctx: _Context) -> str:
        index = str(value)
        if index not in [str(gpu.index) for gpu in gpus()]:
            self.fail(f"{value!r}: expected the index of a GPU as nvidia-smi shows it", param, ctx)
        return index


class OutputFile(click.ParamType[Path]):
    """A file that can be written, or ``-`` for stdout."""

    name = "file"

    def convert(self, value: Any, param: _Param, ctx: _Context) -> Path:
        file = Path(value)
        if file != STDOUT and (file.is_dir() or not file.absolute().parent.is_dir()):
            self.fail(f"{value!r}: expected a file in a folder that exists", param, ctx)
        return file


class PictureFile(OutputFile):
    """A file to draw into, on a machine that has matplotlib, an extra of the package."""

    def convert(self, value: Any, param: _Param, ctx: _Context) -> Path:
        # Not when the picture is drawn: a run takes minutes, and would end without it.
        if find_spec("matplotlib") is None:
            raise click.ClickException("Pictures need matplotlib: pip install 'xinfer[bench]'")
        return super().convert(value, param, ctx)
