"""Makes the keys of a cluster those that its operator has given as files, at each start of the head."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import ray

from xinfer.cluster.given_keys import NAMES, GivenKey
from xinfer.messages import ApiKey


@dataclass(frozen=True, slots=True)
class Add:
    """Take this key."""

    key: ApiKey


@dataclass(frozen=True, slots=True)
class Rotate:
    """The key has another text, and the one of before is valid no more."""

    id: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Revoke:
    """The key is given no more."""

    id: str


Change = Add | Rotate | Revoke


def changes(known: Iterable[ApiKey], given: Iterable[GivenKey], now: float) -> Iterator[Change]:
    """What to do, in this order: what is no longer given goes before its name is taken again."""
    wanted = {key.id: key for key in given}
    there = {key.id: key for key in known if key.name in NAMES and key.revoked_at is None}
    for key_id in there.keys() - wanted.keys():
        yield Revoke(key_id)
    for key_id, key in wanted.items():
        digest = bytes.fromhex(key.digest)
        if key_id not in there:
            yield Add(ApiKey(key_id, key.name, key.scope, digest, created_at=now))
        elif there[key_id].digest != digest:
            yield Rotate(key_id, digest)


def take(registry: Any, given: Iterable[GivenKey]) -> None:
    """Have the registry carry these changes out. Raises ``Conflict`` for a key that was revoked."""
    now = time.time()
    for change in changes(ray.get(registry.call.remote("keys")), given, now):
        match change:
            case Add(key):
                ray.get(registry.call.remote("add_key", key))
            case Rotate(key_id, digest):
                ray.get(registry.call.remote("rotate_key", key_id, digest, now))
            case Revoke(key_id):
                ray.get(registry.call.remote("revoke_key", key_id, False))
