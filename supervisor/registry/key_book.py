"""All keys, as a plain class: what may be done with them, and which have changed since a version."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from xinfer.errors import Conflict, NotFound
from xinfer.messages import ApiKey, KeyChanges, KeyScope, KeyUpdate


class KeyBook:
    """Keys by id, revoked ones included. ``version`` has to be above those of every earlier book: Unix time in nanoseconds."""

    def __init__(self, keys: Iterable[ApiKey], version: int) -> None:
        self._keys = {key.id: key for key in keys}
        self._start = version
        self._version = version
        self._changed: dict[str, int] = {}

    @property
    def version(self) -> int:
        return self._version

    def all(self) -> list[ApiKey]:
        """Every key, oldest first."""
        return list(self._keys.values())

    def has_admin(self, now: float) -> bool:
        """Whether anybody has a valid key for everything."""
        return any(key.scope is KeyScope.ADMIN and key.is_valid(now) for key in self._keys.values())

    def find(self, key_id: str) -> ApiKey | None:
        """The key with this id."""
        return self._keys.get(key_id)

    def get(self, id_or_name: str) -> ApiKey:
        """The key with this id, else the newest with this name. Raises ``NotFound``."""
        found = self._keys.get(id_or_name)
        if found is not None:
            return found
        named = [key for key in self._keys.values() if key.name == id_or_name]
        valid = [key for key in named if key.revoked_at is None]
        if not named:
            raise NotFound(f"There is no key {id_or_name[:100]!r}. `xinfer keys list` shows all.", param="key_id")
        return (valid or named)[-1]

    def add(self, key: ApiKey) -> ApiKey:
        """Take a new key. Raises ``Conflict`` if its id or the name of a key that is not revoked is taken."""
        if key.id in self._keys:
            raise _name_taken(key)
        self._check_name(key)
        return self._put(key)

    def update(self, key_id: str, update: KeyUpdate) -> ApiKey:
        """Change a key. Raises ``NotFound``, or ``Conflict`` if it is revoked or its new name is taken."""
        key = update.applied_to(self._not_revoked(key_id))
        self._check_name(key)
        return self._put(key)

    def rotate(self, key_id: str, digest: bytes, former_until: float) -> ApiKey:
        """Give a key another text; the one it has is valid until ``former_until``. Raises ``NotFound`` or ``Conflict``."""
        key = self._not_revoked(key_id)
        return self._put(replace(key, digest=digest, former_digest=key.digest, former_until=former_until))

    def revoke(self, key_id: str, now: float, *, cut_streams: bool) -> ApiKey:
        """Make a key invalid. Doing it twice is fine. Raises ``NotFound``."""
        key = self.get(key_id)
        revoked_at = now if key.revoked_at is None else key.revoked_at
        return self._put(replace(key, revoked_at=revoked_at, cut_streams=key.cut_streams or cut_streams))

    def changes(self, since: int) -> KeyChanges:
        """The keys that have changed after the version ``since``; all of them for a version of an earlier book."""
        if since < self._start:
            return KeyChanges(self._version, tuple(self._keys.values()))
        changed = [key_id for key_id, version in self._changed.items() if version > since]
        return KeyChanges(self._version, tuple(self._keys[key_id] for key_id in changed))

    def _not_revoked(self, id_or_name: str) -> ApiKey:
        key = self.get(id_or_name)
        if key.revoked_at is not None:
            raise Conflict(f"The key {key.name!r} is revoked; create another one.")
        return key

    def _check_name(self, key: ApiKey) -> None:
        for each in self._keys.values():
            if each.name == key.name and each.id != key.id and each.revoked_at is None:
                raise _name_taken(key)

    def _put(self, key: ApiKey) -> ApiKey:
        self._version += 1
        self._keys[key.id] = key
        self._changed[key.id] = self._version
        return key


def _name_taken(key: ApiKey) -> Conflict:
    return Conflict(f"There is a key {key.name[:100]!r} already; revoke it, or choose another name.")
