"""Names that the supervisor and the engine's middleware use between themselves on HTTP."""

from __future__ import annotations

USAGE_HEADER = b"x-xinfer-usage"
"""Request header: with ``USAGE_MERGED`` the token counts come on the chunk that finishes the answer."""
USAGE_MERGED = b"merged"
