"""Where a client's server is."""

from __future__ import annotations

from xinfer import settings


def checked(base_url: str | None) -> str:
    """The address without a slash at its end; the default one for None."""
    url = (base_url or settings.endpoint()).rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"base_url={url!r}: expected http://host:port")
    return url
