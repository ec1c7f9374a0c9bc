"""Sessions of browsers: a signed text that stands for a key for some hours, in a cookie that scripts cannot read.

Nothing is stored: every supervisor of the cluster has the secret, and the keys. The text of the key is not in it, and the key's
revocation, expiry or rotation ends the session.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from starlette.types import Scope

from supervisor.access.key_ring import KeyRing
from xinfer.messages import ApiKey

SESSION_S = 12 * 3600.0
CSRF_HEADER = "x-csrf-token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing, for which a cookie alone is enough."""
_PATTERN = re.compile(r"xsession_([0-9a-f]{10}|operator)_(\d{1,12})_([0-9a-f]{64})\Z", re.ASCII)
_PREFIX = "xsession_"


class Sessions:
    """Opens and checks sessions for the keys of ``ring``; times are Unix times."""

    def __init__(self, ring: KeyRing, secret: bytes) -> None:
        self._ring = ring
        self._secret = secret
        # Cookies are not kept apart by port, so that two clusters on one machine would log each other's people out.
        self.cookie = f"xinfer_session_{self._code('cookie')[:8]}"

    @staticmethod
    def is_one(text: str) -> bool:
        """Whether the text may be a session's, and is no key."""
        return text.startswith(_PREFIX)

    def open(self, key: ApiKey, now: float, lifetime_s: float = SESSION_S) -> str:
        """The text of a session that ends after ``lifetime_s``, or with the key."""
        end = now + lifetime_s
        if key.expires_at is not None:
            end = min(end, key.expires_at)
        return f"{_PREFIX}{key.id}_{int(end)}_{self._signature(key.id, int(end), key.digest)}"

    def key_of(self, text: str, now: float) -> ApiKey | None:
        """The valid key that the session stands for; None if it is forged or over."""
        found = _PATTERN.match(text)
        if found is None:
            return None
        key = self._ring.get(found[1])
        end = int(found[2])
        if key is None or now >= end or not key.is_valid(now):
            return None

        matches = hmac.compare_digest(found[3], self._signature(key.id, end, key.digest))
        if key.former_digest is not None and now < key.former_until:
            matches |= hmac.compare_digest(found[3], self._signature(key.id, end, key.former_digest))
        return key if matches else None

    def end_of(self, text: str) -> float | None:
        """When the session with this text ends; None if it is none."""
        found = _PATTERN.match(text)
        return float(found[2]) if found else None

    def csrf_token(self, text: str) -> str:
        """What a page of ours has to send beside the cookie to change something. Pages of others cannot read it."""
        return self._code(f"csrf {text}")

    def in_cookie(self, scope: Scope) -> str | None:
        """The text of the session in a request's cookie."""
        for name, value in scope["headers"]:
            if name == b"cookie":
                # Not http.cookies: other servers of the machine set cookies as well, and it stops at one that is malformed.
                cookies: str = value.decode("latin-1")
                for part in cookies.split(";"):
                    own, _, text = part.strip().partition("=")
                    if own == self.cookie:
                        return text
        return None

    def is_from_own_page(self, scope: Scope, text: str) -> bool:
        """Whether a request that comes with the session's cookie shows its CSRF token, or changes nothing."""
        if scope["method"] in SAFE_METHODS:
            return True
        shown = next((value for name, value in scope["headers"] if name == CSRF_HEADER.encode()), b"")
        return hmac.compare_digest(shown, self.csrf_token(text).encode())

    def _signature(self, key_id: str, end: int, digest: bytes) -> str:
        return self._code(f"session {key_id} {end} {digest.hex()}")

    def _code(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()
