"""The registry's file: its schema by version, and copies of it. The registry alone writes to it while a cluster runs."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from xinfer.errors import Conflict, NotFound

NAME = "registry.sqlite"
"""Its name in ``XINFER_HOME``."""
_BUSY_S = 30.0
_LOGS = ("-wal", "-shm")
"""SQLite's files beside it."""


def _add_models_and_families(db: sqlite3.Connection) -> None:
    """Before there were versions, a file had the first table, then both, then the column."""
    db.execute("CREATE TABLE IF NOT EXISTS models (uid TEXT PRIMARY KEY, spec TEXT NOT NULL)")
    db.execute(
        "CREATE TABLE IF NOT EXISTS families (name TEXT PRIMARY KEY, family TEXT NOT NULL, persist INTEGER NOT NULL)"
    )
    columns = [name for _, name, *_ in db.execute("PRAGMA table_info(models)")]
    if "asleep" not in columns:
        db.execute("ALTER TABLE models ADD COLUMN asleep INTEGER NOT NULL DEFAULT 0")


MIGRATIONS = (_add_models_and_families,)
"""The one at index n makes version n + 1 of version n. What has been released is never changed: a new one is added at the end,
with the schema it leads to in ``tests/xinfer/registry_files``."""
VERSION = len(MIGRATIONS)


def file_in(home: Path) -> Path:
    return home / NAME


def remove(home: Path) -> None:
    """Forget everything; backups stay."""
    for suffix in ("", *_LOGS):
        home.joinpath(NAME + suffix).unlink(missing_ok=True)


def migrate(db: sqlite3.Connection) -> None:
    """Bring a file that may be new, or of an earlier version, to ``VERSION``. ``Conflict`` for one of a later version."""
    if _version(db) == VERSION:
        return
    # At once the only writer, so that two that open an old file do not both migrate it.
    db.execute("BEGIN IMMEDIATE")
    try:
        for number in range(_version(db), VERSION):
            MIGRATIONS[number](db)
        db.execute(f"PRAGMA user_version = {VERSION}")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def check_readable(path: Path) -> None:
    """``Conflict`` if ``path`` is there and cannot be used by this version of xinfer."""
    if path.exists():
        with _reading(path) as db:
            _check(db, path)


def backup(path: Path, target: Path, *, overwrite: bool = False) -> int:
    """Copy the file, also while a registry writes to it, to ``target``; returns the number of models in it.

    The copy is complete or not there, and only its owner can read it: models' environment variables may be secrets.
    """
    if not path.exists():
        raise NotFound(f"There is no {path}: nothing has been launched with this XINFER_HOME.")
    if target.exists() and not overwrite:
        raise Conflict(f"{target} exists; --overwrite replaces it.")
    with _reading(path) as db:
        _check(db, path)
        _copy(db, target)
    with _reading(target) as db:
        return _models(db)


def restore(source: Path, path: Path) -> int:
    """Put a backup in the file's place and bring it to this version; returns the number of models in it.

    No registry may run. What was there is kept beside it, with ``.before-restore`` at its end.
    """
    if not source.exists():
        raise NotFound(f"There is no {source}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with _reading(source) as db:
        _check(db, source)
        if path.exists():
            with _reading(path) as old:
                _copy(old, path.with_name(f"{NAME}.before-restore"))
        # SQLite would take an old write-ahead log for the new file's.
        for suffix in _LOGS:
            path.with_name(NAME + suffix).unlink(missing_ok=True)
        _copy(db, path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        migrate(db)
        return _models(db)


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True, timeout=_BUSY_S)) as db:
        yield db


def _copy(db: sqlite3.Connection, target: Path) -> None:
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(sqlite3.connect(unfinished)) as copy:
            db.backup(copy)
            # One file, without a log beside it.
            copy.execute("PRAGMA journal_mode=DELETE")
        unfinished.replace(target)
    except OSError as error:
        raise Conflict(f"{target} cannot be written: {error.strerror}.") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _check(db: sqlite3.Connection, path: Path) -> None:
    try:
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        version = _version(db)
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.DatabaseError as error:
        raise Conflict(f"{path} is not a registry's file: {error}.") from error
    if verdict != "ok":
        raise Conflict(f"{path} is damaged: {verdict}.")
    if version > VERSION:
        raise _too_new(path, version)
    if tables and "models" not in tables:
        raise Conflict(f"{path} is not a registry's file: it has no table of models.")


def _too_new(path: Path | str, version: int) -> Conflict:
    return Conflict(
        f"{path} has version {version}, and this xinfer knows up to {VERSION}: a later xinfer has written it. Use that one, or "
        "restore a backup of before."
    )


def _version(db: sqlite3.Connection) -> int:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise _too_new("The registry's file", version)
    return int(version)


def _models(db: sqlite3.Connection) -> int:
    (count,) = db.execute("SELECT count(*) FROM models").fetchone()
    return int(count)
