"""Whether a server can be reached."""

from __future__ import annotations

import asyncio

_TIMEOUT_S = 2.0


async def accepts_connections(address: str) -> bool:
    """True if ``address`` (``http://host:port``) takes a TCP connection within two seconds."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, int(port))
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
