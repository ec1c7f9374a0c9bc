"""A cluster of its own whose models are fake ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.performance.servers import MODEL
from xinfer.bench.launching.cluster import Cluster, own_cluster
from xinfer.client import RESTfulClient


@contextmanager
def fake_cluster() -> Iterator[tuple[Cluster, RESTfulClient]]:
    """A started cluster that takes fake engines, and a client of it."""
    with own_cluster() as cluster, RESTfulClient(cluster.endpoint) as client:
        cluster.start("--allow-fake-engine")
        yield cluster, client


def launch(client: RESTfulClient, uid: str, **options: Any) -> None:
    """Have a model ready; ``options`` are ``launch_model``'s keywords, or else fields of the fake engine's ``Behaviour``."""
    engine = {"model_engine": "fake", "model_path": str(MODEL), "n_gpu": None}
    client.launch_model("fake", model_uid=uid, wait_ready=True, **engine, **options)
