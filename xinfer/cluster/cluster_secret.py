"""The secret of the cluster that this process belongs to: Ray's token, from which xinfer's own secrets are derived."""

from __future__ import annotations

import os
from pathlib import Path

from xinfer.api_key import derived_key, engine_secret, front_secret, session_secret

GUARD_ENGINES = "XINFER_GUARD_ENGINES"
"""Set in every process of a cluster whose engines take requests from its own parts only."""
_PATH = "RAY_AUTH_TOKEN_PATH"


def operator_key(home: Path) -> str | None:
    """The key of whoever can read the secret in ``home``; None if there is none to read."""
    try:
        return derived_key((home / "ray.token").read_text().strip())
    except OSError:
        return None


def own_operator_key() -> str | None:
    """The operator's key of the cluster that this process belongs to; None outside of a cluster."""
    secret = _read()
    if secret is None:
        return None
    return derived_key(secret)


def own_engine_secret() -> str | None:
    """What this cluster's engines want to see; None outside of a cluster. Raises ``OSError`` if it cannot be read."""
    secret = _read()
    if secret is None:
        return None
    return engine_secret(secret)


def own_session_secret() -> str | None:
    """What sessions of browsers are signed with; None outside of a cluster. Raises ``OSError`` if it cannot be read."""
    secret = _read()
    if secret is None:
        return None
    return session_secret(secret)


def guarding_secret() -> str | None:
    """What an engine of this process's cluster has to ask for; None where it may answer everybody on this machine.

    Raises ``OSError`` if it has to ask and cannot know for what.
    """
    if not os.environ.get(GUARD_ENGINES):
        return None
    return engine_secret(_cluster_secret())


def guarding_front_secret() -> str | None:
    """What a supervisor has to ask for on its own port, and HAProxy shows; None where it may answer everybody who gets there.

    Raises ``OSError`` if it has to ask and cannot know for what.
    """
    if not os.environ.get(GUARD_ENGINES):
        return None
    return front_secret(_cluster_secret())


def _cluster_secret() -> str:
    secret = _read()
    if secret is None:
        raise OSError(f"{GUARD_ENGINES} is set, and {_PATH} is not")
    return secret


def _read() -> str | None:
    path = os.environ.get(_PATH)
    if not path:
        return None
    return Path(path).read_text().strip()
