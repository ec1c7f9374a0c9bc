"""The keys that a supervisor knows, and the check of one that came with a request."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from xinfer.api_key import digest, key_id
from xinfer.messages import ApiKey

_NO_KEY = bytes(32)


class KeyRing:
    """Keys by id. A wrong key, an unknown one and a revoked one take the same way through ``check``."""

    def __init__(self, keys: Iterable[ApiKey] = ()) -> None:
        self._keys: dict[str, ApiKey] = {}
        self.update(keys)

    def __len__(self) -> int:
        return len(self._keys)

    def update(self, keys: Iterable[ApiKey]) -> None:
        """Take in new keys, and others that have changed."""
        for key in keys:
            self._keys[key.id] = key

    def get(self, known_id: str) -> ApiKey | None:
        """The key with this id, valid or not."""
        return self._keys.get(known_id)

    def check(self, text: str, now: float) -> ApiKey | None:
        """The valid key whose text this is, at Unix time ``now``; None if there is none."""
        shown = digest(text)
        key = self._keys.get(key_id(text) or "")
        if key is None:
            hmac.compare_digest(shown, _NO_KEY)
            return None

        matches = hmac.compare_digest(shown, key.digest)
        if key.former_digest is not None and now < key.former_until:
            matches |= hmac.compare_digest(shown, key.former_digest)
        if matches and key.is_valid(now):
            return key
        return None
