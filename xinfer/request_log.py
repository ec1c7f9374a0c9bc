"""One line per request, in files of their own: how they are written, and found again by a request's id."""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from xinfer.logs import log_level

FORMAT_VARIABLE = "XINFER_LOG_FORMAT"
"""Environment variable: ``text`` or ``json``."""
SHARE_VARIABLE = "XINFER_REQUEST_LOG_SHARE"
"""Environment variable: the share of successful requests that are logged, 0 to 1; all others are."""
LOGGER = "xinfer.requests"
_FILE_BYTES = 16 * 1024 * 1024
_FILES_KEPT = 3


class LogFormat(StrEnum):
    """How the lines are written."""

    TEXT = "text"
    JSON = "json"


def folder(home: Path) -> Path:
    """Where a node's supervisors write them."""
    return home / "logs" / "requests"


def log_format() -> LogFormat:
    """What the environment names; ``ValueError`` if that is neither."""
    text = os.environ.get(FORMAT_VARIABLE) or LogFormat.TEXT.value
    try:
        return LogFormat(text)
    except ValueError:
        raise ValueError(f"{FORMAT_VARIABLE}={text!r}: expected text or json") from None


def logged_share() -> float:
    """What the environment names, or all; ``ValueError`` if it is no share."""
    text = os.environ.get(SHARE_VARIABLE) or "1"
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ValueError(f"{SHARE_VARIABLE}={text!r}: expected a number from 0 to 1")
    return share


def is_logged(request_id: str, share: float) -> bool:
    """Whether a request is among the ``share`` of all that are logged: the same ones at the gateway and in the engine."""
    return share >= 1 or zlib.crc32(request_id.encode()) < share * 2**32


class LineFormatter(logging.Formatter):
    """Writes the fields that a record carries as ``fields``."""

    def __init__(self, form: LogFormat) -> None:
        super().__init__()
        self._is_json = form is LogFormat.JSON

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields: Mapping[str, Any] = record.fields  # type: ignore[attr-defined]
        if self._is_json:
            return json.dumps({"time": at, **fields}, ensure_ascii=False)
        words = [f"{name}={value}" for name, value in fields.items() if value is not None]
        return " ".join([at, *words])


class LineFile(RotatingFileHandler):
    """A file that is replaced when it is full. The library's handler would format each line twice, and look at the disk."""

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record) + "\n"
        assert self.stream is not None, "the file is open from the start"
        if self.stream.tell() + len(line) > self.maxBytes:
            self.doRollover()
            assert self.stream is not None, "the new file is open"
        self.stream.write(line)
        self.stream.flush()


def attach_file(home: Path) -> None:
    """Have this process write its lines to a file of its own; the oldest of them go when there are too many."""
    path = folder(home) / f"{os.getpid()}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = LineFile(path, maxBytes=_FILE_BYTES, backupCount=_FILES_KEPT)
    handler.setFormatter(LineFormatter(log_format()))
    logger = logging.getLogger(LOGGER)
    logger.setLevel(log_level())
    logger.addHandler(handler)
    # Serve's log has a line of its own per request.
    logger.propagate = False


def lines_about(request_id: str, home: Path) -> Iterator[str]:
    """The lines of this node's supervisors and engines that name this request, file by file."""
    files = [*sorted(folder(home).glob("*.log*")), *sorted((home / "logs" / "engines").glob("*.log"))]
    for file in files:
        with file.open(errors="replace") as lines:
            for line in lines:
                if request_id in line:
                    yield line.rstrip("\n")
