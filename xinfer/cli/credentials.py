"""The keys that ``xinfer login`` keeps, by endpoint: ``credentials.json`` in ``XINFER_HOME``, readable by its owner alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from xinfer import settings
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.cluster_secret import operator_key

_VARIABLES = ("XINFER_ENDPOINT", "XINFERENCE_ENDPOINT")


def endpoint() -> str:
    """Where the command line looks for a server: the variables, else where it was logged in last, else this machine."""
    if any(os.environ.get(name) for name in _VARIABLES):
        return settings.endpoint()
    kept: str | None = _load().get("endpoint")
    return kept or settings.endpoint()


def key_for(url: str) -> str | None:
    """The key for the server at ``url``: the one that was kept, else the operator's if the cluster is this home's own."""
    kept: str | None = _load().get("keys", {}).get(_plain(url))
    if kept:
        return kept
    record = ClusterRecord.load(settings.home())
    if record and record.requires_keys and record.endpoint == _plain(url):
        return operator_key(settings.home())
    return None


def keep(url: str, key: str) -> None:
    """Keep the key, and the server as the one to use."""
    known = _load()
    known["endpoint"] = _plain(url)
    known.setdefault("keys", {})[_plain(url)] = key
    _save(known)


def forget(url: str) -> bool:
    """Forget the key for the server; False if there was none."""
    known = _load()
    there_was_one = known.get("keys", {}).pop(_plain(url), None) is not None
    if known.get("endpoint") == _plain(url):
        del known["endpoint"]
    _save(known)
    return there_was_one


def _plain(url: str) -> str:
    return url.rstrip("/")


def _file() -> Path:
    return settings.home() / "credentials.json"


def _load() -> dict[str, Any]:
    try:
        known = json.loads(_file().read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _save(known: dict[str, Any]) -> None:
    file = _file()
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".new")
    draft.unlink(missing_ok=True)
    # Nobody else can read it, not even for a moment.
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        json.dump(known, out)
    draft.replace(file)
