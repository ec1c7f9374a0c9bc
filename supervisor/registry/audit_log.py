"""The audit log: one line of JSON per change, in a file that is only ever added to."""

from __future__ import annotations

import json
import os
from collections import deque
from dataclasses import asdict
from pathlib import Path

from xinfer.messages import AuditEntry


class AuditLog:
    """``audit.jsonl``, readable by its owner alone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, entry: AuditEntry) -> None:
        """Write one line. It is on the disk when this returns."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(asdict(entry), ensure_ascii=True) + "\n"
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, line.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def last(self, count: int) -> list[AuditEntry]:
        """The latest entries, oldest first."""
        try:
            with self._path.open(encoding="utf-8") as lines:
                kept = deque(lines, maxlen=count)
        except FileNotFoundError:
            return []
        return [AuditEntry(**json.loads(line)) for line in kept]
