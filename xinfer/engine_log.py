"""Reads an engine's log: the stage of its start, and the cause of a failure."""

from __future__ import annotations

import re
from pathlib import Path

from xinfer.messages import ReplicaStage

_SIGNS = (  # none of downloading: the worker has the weights before it starts an engine, which may still fetch a LoRA
    (re.compile(r"Starting to load model|Loading (safetensors|weights)|KV cache size"), ReplicaStage.LOADING),
    (re.compile(r"Starting vLLM (API )?server|Application startup complete"), ReplicaStage.WARMING_UP),
)
_PREFIX = re.compile(r"^(\([^)]*pid=\d+\) )?((INFO|WARNING|ERROR) [\d-]+ [\d:]+ \[[^\]]*\] )?")
_ERROR = re.compile(r"^(?:[\w.]+\.)?(\w+(?:Error|Exception))(?:: (.+))?$")
_USAGE_ERROR = re.compile(r"^(?:\S+: )?error: (.+)$")
_ADVICE = (
    ("couldn't connect to", "Check this machine's way to the hub, or give a folder on disk with --model-path."),
    ("gated repo", "Accept its licence on the hub and launch with --env HF_TOKEN <token>."),
    ("out of memory", "Ask for more GPUs with --n-gpu, a shorter --context-length, or a quantized format."),
    ("max_model_len", "Ask for a --context-length that the model and the KV cache allow."),
    (
        "'_C' object has no attribute",
        "vLLM's compiled part was not loaded: `xinfer doctor` on the node tells what it lacks.",
    ),
    ("trust_remote_code", "If you trust the model's authors, launch it with --trust-remote-code."),
)
_NO_PARSER = re.compile(r"^KeyError: .invalid (tool call|reasoning) parser: (\S+) ")
_CONSEQUENCES = ("Engine core initialization failed", "WorkerProc initialization failed", "EngineCore failed to start")


def stage_of(lines: list[str]) -> ReplicaStage | None:
    """The furthest stage that ``lines`` show, None when they show none."""
    seen = []
    for line in lines:
        for sign, stage in _SIGNS:
            if sign.search(line):
                seen.append(stage)
    return max(seen, key=lambda stage: stage.progress, default=None)


def cause_of(lines: list[str]) -> str | None:
    """The error behind a failed start, in one line, with what to do about it where that is known.

    The last one that is not merely the echo of another process's.
    """
    causes = [match for line in lines if (match := _cause(_PREFIX.sub("", line.strip())))]
    own = [cause for cause in causes if not cause.startswith(_CONSEQUENCES)]
    if causes:
        return _with_advice((own or causes)[-1])
    return None


def _with_advice(cause: str) -> str:
    advice = next((text for sign, text in _ADVICE if sign in cause), None)
    if advice:
        return f"{cause.rstrip('. ')}. {advice}"
    return cause


def _cause(text: str) -> str | None:
    match = _NO_PARSER.match(text)
    if match:
        option = f"--{match[1].replace(' ', '-')}-parser"
        return f"The vLLM installed here has no {match[1]} parser {match[2]}; a newer one may, or name another with {option}"
    match = _ERROR.match(text)
    if match:
        name, words = match.groups()
        if words is None:
            return name
        if name in ("RuntimeError", "ValueError"):
            return words
        return f"{name}: {words}"
    match = _USAGE_ERROR.match(text)
    if match:
        return match[1]
    return None


class LogReader:
    """Follows a log file from its end at construction."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size if path.exists() else 0

    def new_lines(self) -> list[str]:
        """Whole lines added since the last call."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        end = data.rfind(b"\n") + 1
        self._offset += end
        return data[:end].decode("utf-8", "replace").splitlines()


def tail(path: Path, size: int = 64 * 1024) -> list[str]:
    """The last lines of a log, at most ``size`` bytes of it; none if there is no such file."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - size))
            return file.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []
