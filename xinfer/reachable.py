"""Reaching a server of the cluster itself: whether it listens, and a request that no proxy gets to see."""

from __future__ import annotations

import asyncio
import urllib.request

_TIMEOUT_S = 2.0

open_directly = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
"""``urllib.request.urlopen`` without the proxy of ``HTTP_PROXY``."""


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
