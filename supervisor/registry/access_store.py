"""Keys and usage on disk, in an SQLite file of their own: forgetting the models of a cluster must not forget its keys."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from xinfer.messages import ApiKey, Tokens, UsageRow

_log = logging.getLogger("xinfer.registry")
_KEY = TypeAdapter(ApiKey)
_KEYS = "CREATE TABLE IF NOT EXISTS keys (id TEXT PRIMARY KEY, key TEXT NOT NULL)"
_USAGE = """
CREATE TABLE IF NOT EXISTS usage (
    hour INTEGER NOT NULL, key TEXT NOT NULL, model TEXT NOT NULL,
    requests INTEGER NOT NULL, prompt INTEGER NOT NULL, cached INTEGER NOT NULL,
    completion INTEGER NOT NULL, reasoning INTEGER NOT NULL, refused INTEGER NOT NULL,
    PRIMARY KEY (hour, key, model)
) WITHOUT ROWID
"""
_REPORTS = "CREATE TABLE IF NOT EXISTS reports (supervisor TEXT PRIMARY KEY, number INTEGER NOT NULL, at REAL NOT NULL)"
_ADD = """
INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    requests = requests + excluded.requests, prompt = prompt + excluded.prompt, cached = cached + excluded.cached,
    completion = completion + excluded.completion, reasoning = reasoning + excluded.reasoning,
    refused = refused + excluded.refused
"""
_FORGET_SUPERVISOR_S = 7 * 86400.0


class AccessStore:
    """Keys are on the disk when a call returns. Usage survives the end of the process, and of the machine for the most part."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        for table in (_KEYS, _USAGE, _REPORTS):
            self._db.execute(table)

    def save_key(self, key: ApiKey) -> None:
        """Record a key, new or changed."""
        self._db.execute("PRAGMA synchronous=FULL")
        text = _KEY.dump_json(_with_hex(key)).decode()
        self._db.execute("INSERT OR REPLACE INTO keys (id, key) VALUES (?, ?)", (key.id, text))

    def load_keys(self) -> list[ApiKey]:
        """All keys, revoked ones included. One of another version that cannot be read is left out: it opens nothing."""
        keys: list[ApiKey] = []
        for key_id, text in self._db.execute("SELECT id, key FROM keys ORDER BY rowid"):
            try:
                keys.append(_from_hex(_KEY.validate_json(text)))
            except (ValidationError, ValueError):
                _log.error("the record of the key %s cannot be read, leaving it out", key_id)
        return keys

    def add_usage(
        self, supervisor: str, number: int, hour: int, used: Mapping[tuple[str, str], Tokens], now: float
    ) -> bool:
        """Add a report to the hour that begins at ``hour``; False if this one or a later one was added before."""
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("BEGIN")
        try:
            found = self._db.execute("SELECT number FROM reports WHERE supervisor = ?", (supervisor,)).fetchone()
            if found and found[0] >= number:
                self._db.execute("ROLLBACK")
                return False
            self._db.execute("INSERT OR REPLACE INTO reports VALUES (?, ?, ?)", (supervisor, number, now))
            rows = [(hour, key, model, *_columns(each)) for (key, model), each in used.items()]
            self._db.executemany(_ADD, rows)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        return True

    def usage(self, since: int, until: int, key: str | None = None) -> list[UsageRow]:
        """What was used in the hours that begin from ``since`` up to ``until``, oldest first."""
        query = "SELECT * FROM usage WHERE hour >= ? AND hour < ? AND (? IS NULL OR key = ?) ORDER BY hour, key, model"
        rows = self._db.execute(query, (since, until, key, key))
        return [UsageRow(hour, key_id, model, Tokens(*counts)) for hour, key_id, model, *counts in rows]

    def tokens_since(self, since: int) -> dict[str, int]:
        """Tokens by key, of all hours from ``since`` on."""
        query = "SELECT key, SUM(prompt + completion) FROM usage WHERE hour >= ? GROUP BY key"
        return dict(self._db.execute(query, (since,)))

    def forget_usage(self, before: int, now: float) -> None:
        """Drop hours before ``before``, and supervisors that have long been gone."""
        self._db.execute("DELETE FROM usage WHERE hour < ?", (before,))
        self._db.execute("DELETE FROM reports WHERE at < ?", (now - _FORGET_SUPERVISOR_S,))

    def close(self) -> None:
        self._db.close()


def _columns(tokens: Tokens) -> tuple[int, ...]:
    return (tokens.requests, tokens.prompt, tokens.cached, tokens.completion, tokens.reasoning, tokens.refused)


def _with_hex(key: ApiKey) -> ApiKey:
    """Digests as text in bytes, since JSON has no others."""
    former = key.former_digest.hex().encode() if key.former_digest else None
    return replace(key, digest=key.digest.hex().encode(), former_digest=former)


def _from_hex(key: ApiKey) -> ApiKey:
    former = bytes.fromhex(key.former_digest.decode()) if key.former_digest else None
    return replace(key, digest=bytes.fromhex(key.digest.decode()), former_digest=former)
