"""Ray with addresses as they are given."""

from __future__ import annotations

from ray._private import services


def keep_loopback() -> None:
    """Have Ray take 127.0.0.1 for this machine's loopback, from now on in this process.

    It turns that address into the one that other machines see, and listens on every interface then. A node that is at 127.0.0.1
    listens nowhere else.
    """
    services.resolve_ip_for_localhost = _as_it_is


def _as_it_is(host: str) -> str:
    return host
