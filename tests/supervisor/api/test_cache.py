"""The hub's cache on the nodes: what is there, under which names, and what may be deleted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import huggingface_hub
import pytest
import ray

from supervisor.nodes import on_node as nodes
from supervisor.nodes.hub_cache import remove, scan
from tests.supervisor.fuzzed import NODE, agent_here
from tests.supervisor.samples import model_status
from tests.supervisor.servers import RegistryDouble
from xinfer.catalog import Catalog
from xinfer.messages import ModelState

COMMIT = "a" * 40
SPEC = next(spec for family in Catalog.load().families.values() for spec in family.specs if family.name == "qwen3")
REPO = SPEC.path(next(iter(SPEC.quantizations)))


def put(cache: Path, repo: str, size: int = 1000, kind: str = "models") -> Path:
    """A repository with one file in the cache, as huggingface_hub lays it out."""
    folder = cache / f"{kind}--{repo.replace('/', '--')}"
    for name in ("blobs", "refs", f"snapshots/{COMMIT}"):
        (folder / name).mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "blobs" / "etag").write_bytes(b"x" * size)
    (folder / "snapshots" / COMMIT / "model.safetensors").symlink_to(folder / "blobs" / "etag")
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of this process, which plays the only node."""
    monkeypatch.setattr(nodes, "on_node", agent_here)
    monkeypatch.setattr(ray, "nodes", lambda: [NODE])
    whole = huggingface_hub.scan_cache_dir
    monkeypatch.setattr(huggingface_hub, "scan_cache_dir", lambda: whole(tmp_path / "hub"))
    return tmp_path / "hub"


async def listed(http: httpx.AsyncClient, **params: str) -> list[dict[str, Any]]:
    answer = await http.get("/v1/cache/models", params=params)
    found: list[dict[str, Any]] = answer.json()["list"]
    return found


async def test_list(http: httpx.AsyncClient, cache: Path) -> None:
    """One that the catalog knows and one that it does not; data sets are no models."""
    known, other = put(cache, REPO), put(cache, "some/body", 2000)
    put(cache, "some/data", kind="datasets")
    first, second = await listed(http)
    assert first["model_name"] == "qwen3"
    assert first["model_version"].startswith("qwen3--")
    assert (first["model_type"], first["model_engine"], first["model_format"]) == ("LLM", "vLLM", SPEC.format)
    assert (first["path"], first["size_bytes"], first["actor_ip_address"]) == (str(known), 1000, "127.0.0.1")
    assert (second["model_name"], second["model_version"], second["path"]) == ("some/body", "some/body", str(other))
    assert second["model_type"] is None
    assert await listed(http, model_name="qwen3") == [first]
    assert await listed(http, worker_ip="127.0.0.1") == [first, second]


async def test_no_such_node(http: httpx.AsyncClient, cache: Path) -> None:
    answer = await http.get("/v1/cache/models", params={"worker_ip": "10.9.9.9"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "worker_ip")


async def test_no_cache_at_all(http: httpx.AsyncClient, cache: Path) -> None:
    assert await listed(http) == []
    assert scan() == []
    assert remove("some/body") is False


async def test_files_and_removal(http: httpx.AsyncClient, registry: RegistryDouble, cache: Path) -> None:
    """Of one repository, even if another one, copied from it, has the same commits."""
    folder, kept = put(cache, REPO), put(cache, "some/body")
    version = (await listed(http, model_name="qwen3"))[0]["model_version"]
    files = (await http.get("/v1/cache/models/files", params={"model_version": version})).json()
    assert files["paths"] == [str(folder), str(folder / "snapshots" / COMMIT / "model.safetensors")]
    assert folder.exists()
    await registry.tell(model_status(path=REPO, state=ModelState.FAILED))
    removed = await http.delete("/v1/cache/models", params={"model_version": version})
    assert (removed.status_code, removed.json()) == (200, {"result": True})
    assert not folder.exists()
    assert kept.exists()
    again = await http.delete("/v1/cache/models", params={"model_version": version})
    assert again.status_code == 404


@pytest.mark.parametrize("state", [ModelState.PENDING, ModelState.LAUNCHING, ModelState.READY, ModelState.SLEEPING])
@pytest.mark.parametrize("by", ["id", "folder"])
async def test_what_runs_from_there_stays(
    http: httpx.AsyncClient, registry: RegistryDouble, cache: Path, state: ModelState, by: str
) -> None:
    folder = put(cache, REPO)
    path = REPO if by == "id" else str(folder / "snapshots" / COMMIT)
    await registry.tell(model_status(path=path, state=state))
    version = (await listed(http))[0]["model_version"]
    answer = await http.delete("/v1/cache/models", params={"model_version": version})
    assert answer.status_code == 409
    assert "'m'" in answer.json()["detail"]
    assert folder.exists()


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_which_one_has_to_be_said(http: httpx.AsyncClient, cache: Path, method: str) -> None:
    path = "/v1/cache/models/files" if method == "GET" else "/v1/cache/models"
    assert (await http.request(method, path)).status_code == 400
