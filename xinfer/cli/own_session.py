"""Connections of the command line to the cluster of its own home, whose certificate it knows."""

from __future__ import annotations

import ssl
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from xinfer import settings
from xinfer.cluster import tls
from xinfer.cluster.cluster_record import ClusterRecord


def own_session(endpoint: str) -> requests.Session | None:
    """A session that takes the own cluster's certificate, at whatever name; None for any other server, or without TLS."""
    home = settings.home()
    record = ClusterRecord.load(home)
    if record is None or record.endpoint != endpoint.rstrip("/") or not endpoint.startswith("https://"):
        return None
    session = requests.Session()
    session.mount("https://", _OwnAdapter(tls.own_context(home)))
    return session


class _OwnAdapter(HTTPAdapter):
    """Uses a context of its own, in the place of the certificates of public authorities."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, assert_hostname=False, **kwargs)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing is left to be set: the context says it all."""
