"""Desired state on disk: the models that people asked for, in SQLite."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from xinfer.messages import ModelSpec

_log = logging.getLogger("xinfer.registry")
_SPEC = TypeAdapter(ModelSpec)
_SCHEMA = "CREATE TABLE IF NOT EXISTS models (uid TEXT PRIMARY KEY, spec TEXT NOT NULL)"
_ASLEEP = "ALTER TABLE models ADD COLUMN asleep INTEGER NOT NULL DEFAULT 0"


@dataclass(frozen=True, slots=True)
class Kept:
    """A model on disk."""

    spec: ModelSpec
    asleep: bool = False
    """Whether it had given its resources back."""


class Store:
    """Keeps launches until they are terminated. Every call is on disk when it returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(_SCHEMA)
        columns = [name for _, name, *_ in self._db.execute("PRAGMA table_info(models)")]
        if "asleep" not in columns:
            self._db.execute(_ASLEEP)

    def save(self, spec: ModelSpec, *, asleep: bool = False) -> None:
        """Record that ``spec`` should run, or sleep until it is asked for."""
        row = (spec.uid, _SPEC.dump_json(spec).decode(), int(asleep))
        self._db.execute("INSERT OR REPLACE INTO models (uid, spec, asleep) VALUES (?, ?, ?)", row)

    def forget(self, uid: str) -> None:
        """Record that it should not; unknown is fine."""
        self._db.execute("DELETE FROM models WHERE uid = ?", (uid,))

    def load(self) -> list[Kept]:
        """Everything that should run, oldest launch first. A row of another version that cannot be read is left out."""
        rows = self._db.execute("SELECT uid, spec, asleep FROM models")
        kept = [Kept(spec, bool(asleep)) for uid, text, asleep in rows if (spec := _read(uid, text))]
        return sorted(kept, key=lambda each: each.spec.created_at)

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _read(uid: str, text: str) -> ModelSpec | None:
    try:
        return _SPEC.validate_json(text)
    except ValidationError as error:
        _log.error("the record of %s cannot be read, leaving it out: %s", uid, error)
        return None
