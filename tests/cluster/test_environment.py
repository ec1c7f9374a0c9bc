"""The environment of a cluster's processes."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from xinfer.cluster.environment import MARK, cluster_environment, socket_folder, token_file
from xinfer.names import SERVE_MIDDLEWARES


@pytest.fixture
def cluster_id() -> Iterator[str]:
    name = uuid.uuid4().hex
    yield name
    shutil.rmtree(socket_folder(name), ignore_errors=True)


def test_marked_authenticated_and_quiet(tmp_path: Path, cluster_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPERATORS_OWN", "1")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    env = cluster_environment(tmp_path, cluster_id)
    assert (
        env.items()
        >= {
            MARK: cluster_id,
            "XINFER_HOME": str(tmp_path),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(tmp_path / "ray.token"),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_SERVE_ENABLE_HA_PROXY": "1",
            "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": SERVE_MIDDLEWARES,
            "OPERATORS_OWN": "1",
        }.items()
    )
    assert all(isinstance(value, str) for value in env.values())


def test_ray_knows_its_settings(tmp_path: Path, cluster_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a name that another version no longer has, nothing would be said."""
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    settings = {name for name in cluster_environment(tmp_path, cluster_id) if name.startswith("RAY_")}
    assert len(settings) > 25
    ray = Path(next(iter(importlib.util.find_spec("ray").submodule_search_locations)))  # type: ignore[arg-type, union-attr]
    files = [ray / "core" / "src" / "ray" / "gcs" / "gcs_server"]
    for folder in ("_private", "_common", "serve/_private"):
        files.extend((ray / folder).rglob("*.py"))
    for file in files:
        content = file.read_bytes()
        settings = {name for name in settings if name.encode() not in content}
    assert settings == set()


def test_haproxy_is_behind_our_wrapper(tmp_path: Path, cluster_id: str) -> None:
    env = cluster_environment(tmp_path, cluster_id)
    wrapper = Path(env["RAY_SERVE_HAPROXY_BINARY_PATH"])
    assert "xinfer.cluster.haproxy" in wrapper.read_text()
    assert stat.S_IMODE(wrapper.stat().st_mode) == 0o700


@pytest.mark.parametrize(("cores", "threads"), [(1, "1"), (2, "1"), (7, "1"), (8, "2"), (16, "4"), (128, "4")])
def test_haproxy_has_threads_as_there_is_room(
    tmp_path: Path, cluster_id: str, monkeypatch: pytest.MonkeyPatch, cores: int, threads: str
) -> None:
    monkeypatch.delenv("RAY_SERVE_HAPROXY_NBTHREAD", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    assert cluster_environment(tmp_path, cluster_id)["RAY_SERVE_HAPROXY_NBTHREAD"] == threads


def test_haproxy_has_the_threads_that_the_operator_wants(
    tmp_path: Path, cluster_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_SERVE_HAPROXY_NBTHREAD", "9")
    assert cluster_environment(tmp_path, cluster_id)["RAY_SERVE_HAPROXY_NBTHREAD"] == "9"


def test_another_clusters_fallback_proxy_keeps_its_port_to_itself(
    tmp_path: Path, cluster_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Serve binds it with SO_REUSEPORT: two on one port would get each other's requests."""
    monkeypatch.delenv("RAY_SERVE_FALLBACK_PROXY_HTTP_PORT", raising=False)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Where it is taken already, it is by another.
        with contextlib.suppress(OSError):
            other.bind(("127.0.0.1", 8500))
            other.listen()
        port = int(cluster_environment(tmp_path, cluster_id)["RAY_SERVE_FALLBACK_PROXY_HTTP_PORT"])
    assert port != 8500


def test_sockets_have_short_paths_in_a_folder_of_our_own(tmp_path: Path, cluster_id: str) -> None:
    home = tmp_path / ("deep" * 40)
    env = cluster_environment(home, cluster_id)
    for name in ("SOCKET_PATH", "METRICS_SOCKET_PATH"):
        path = Path(env[f"RAY_SERVE_HAPROXY_{name}"])
        assert len(str(path)) < 90
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_token_is_made_once_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    home = tmp_path / "new"
    file = token_file(home)
    secret = file.read_text()
    assert len(secret) >= 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert token_file(home).read_text() == secret
    assert token_file(tmp_path / "other").read_text() != secret
