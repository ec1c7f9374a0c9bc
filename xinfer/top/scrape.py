"""Reads a sample from a running cluster."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from xinfer.errors import XinferError
from xinfer.reachable import open_directly
from xinfer.top.sample import Sample, add_engine, read_models

if TYPE_CHECKING:
    from xinfer.client import RESTfulClient

_ENGINE_TIMEOUT_S = 2.0
_THREADS = 16


def scrape(client: RESTfulClient) -> Sample:
    """The cluster as it is now. Raises ``XinferError`` if the server does not respond; engines may stay away."""
    models = read_models(client.get_metrics())
    targets = client.get_scrape_targets("engine")
    with ThreadPoolExecutor(_THREADS) as pool:
        pages = list(pool.map(_page, (target["targets"][0] for target in targets)))
    for target, page in zip(targets, pages, strict=True):
        uid = target["labels"]["model"]
        if page and uid in models:
            add_engine(models[uid], page)
    nodes: list[dict[str, Any]] = []
    with contextlib.suppress(XinferError):
        nodes = [node for node in client.cluster_info(detailed=True) if node["node_type"] == "Worker"]
    return Sample(time.monotonic(), models, tuple(nodes))


def _page(address: str) -> str:
    """An engine's metrics; empty if it is not reached."""
    try:
        with open_directly(f"http://{address}/metrics", timeout=_ENGINE_TIMEOUT_S) as response:
            text: str = response.read().decode()
    except (OSError, ValueError):
        return ""
    return text
