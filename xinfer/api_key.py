"""API keys as text: ``xinfer_<id>_<secret>``. The id names the key and is no secret; of the whole text only a hash is kept."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

OPERATOR = "operator"
"""The id of the key that whoever can read the cluster's own secret has."""

_ID_BYTES = 5
_SECRET_BYTES = 24
PATTERN = re.compile(r"xinfer_(?P<id>[0-9a-f]{10}|operator)_(?P<secret>[0-9a-f]{48})\Z", re.ASCII)
"""What scanners for leaked secrets have to look for, without the end of the text."""


def new_id() -> str:
    """An id for another key."""
    return secrets.token_hex(_ID_BYTES)


def new_key(key_id: str) -> str:
    """A key with this id and 192 random bits."""
    return f"xinfer_{key_id}_{secrets.token_hex(_SECRET_BYTES)}"


def digest(key: str) -> bytes:
    """SHA-256, which is what is kept of a key. Its bits are random, so a slow hash would add nothing."""
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


def key_id(key: str) -> str | None:
    """The id in the text of a key; None if the text is no key of xinfer's."""
    found = PATTERN.match(key)
    if found:
        return found["id"]
    return None


def derived_key(cluster_secret: str) -> str:
    """The operator's key of the cluster with this secret."""
    code = hmac.new(cluster_secret.encode(), b"xinfer operator", hashlib.sha256).hexdigest()
    return f"xinfer_{OPERATOR}_{code[: 2 * _SECRET_BYTES]}"


def engine_secret(cluster_secret: str) -> str:
    """What supervisors show to the engines of the cluster with this secret."""
    return hmac.new(cluster_secret.encode(), b"xinfer engines", hashlib.sha256).hexdigest()


def front_secret(cluster_secret: str) -> str:
    """What HAProxy shows to the supervisors of the cluster with this secret."""
    return hmac.new(cluster_secret.encode(), b"xinfer front", hashlib.sha256).hexdigest()


def session_secret(cluster_secret: str) -> str:
    """What supervisors of the cluster with this secret sign the sessions of browsers with."""
    return hmac.new(cluster_secret.encode(), b"xinfer sessions", hashlib.sha256).hexdigest()
