"""Desired state on disk: the models that people asked for and the families they registered, in SQLite."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from xinfer import registry_file
from xinfer.messages import ModelSpec, Registration

_log = logging.getLogger("xinfer.registry")
_SPEC = TypeAdapter(ModelSpec)


@dataclass(frozen=True, slots=True)
class Kept:
    spec: ModelSpec
    asleep: bool = False
    """Whether it had given its resources back."""


class Store:
    """Keeps launches until they are terminated, families until they are unregistered. Every call is on disk when it returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        registry_file.migrate(self._db)

    def save(self, spec: ModelSpec, *, asleep: bool = False) -> None:
        """Record that ``spec`` should run, or sleep until it is asked for."""
        row = (spec.uid, _SPEC.dump_json(spec).decode(), int(asleep))
        # A write waits for the disk: a launch is recorded when it is taken, and need not be again when it is deployed.
        known = self._db.execute("SELECT uid, spec, asleep FROM models WHERE uid = ?", (spec.uid,)).fetchone()
        if known == row:
            return
        self._db.execute("INSERT OR REPLACE INTO models (uid, spec, asleep) VALUES (?, ?, ?)", row)

    def forget(self, uid: str) -> None:
        """Record that it should not; unknown is fine."""
        self._db.execute("DELETE FROM models WHERE uid = ?", (uid,))

    def load(self) -> list[Kept]:
        """Everything that should run, oldest launch first. A row of another version that cannot be read is left out."""
        rows = self._db.execute("SELECT uid, spec, asleep FROM models")
        kept = [Kept(spec, bool(asleep)) for uid, text, asleep in rows if (spec := _read(uid, text))]
        return sorted(kept, key=lambda each: each.spec.created_at)

    def save_family(self, registration: Registration) -> None:
        """Record a family; one that is not to persist as well, since the registry may end and come back on its own."""
        row = (registration.name, registration.family, int(registration.persist))
        self._db.execute("INSERT OR REPLACE INTO families (name, family, persist) VALUES (?, ?, ?)", row)

    def forget_family(self, name: str) -> None:
        """Record that it is registered no more; unknown is fine."""
        self._db.execute("DELETE FROM families WHERE name = ?", (name,))

    def load_families(self, *, persistent_only: bool) -> list[Registration]:
        """All families, oldest first. With ``persistent_only``, the others are forgotten: the cluster they were for has ended."""
        if persistent_only:
            self._db.execute("DELETE FROM families WHERE NOT persist")
        rows = self._db.execute("SELECT name, family, persist FROM families ORDER BY rowid")
        return [Registration(name, family, bool(persist)) for name, family, persist in rows]

    def close(self) -> None:
        self._db.close()


def _read(uid: str, text: str) -> ModelSpec | None:
    try:
        return _SPEC.validate_json(text)
    except ValidationError as error:
        _log.error("the record of %s cannot be read, leaving it out: %s", uid, error)
        return None
