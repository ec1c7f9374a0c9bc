"""The environment of a cluster's processes: how Ray and Serve are configured, and the mark by which they are known again."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

from xinfer.cluster.ports import free_port
from xinfer.names import SERVE_MIDDLEWARES

MARK = "XINFER_CLUSTER_ID"
"""Every process of a cluster carries its id in this variable; ``stop`` ends those and no others."""
SPARE_WORKERS = "XINFER_SPARE_WORKERS"
"""Set in every process of a node that starts Ray's worker processes ahead of replicas."""


def cluster_environment(home: Path, cluster_id: str, *, warm: bool = True) -> dict[str, str]:
    """This process's environment with what Ray and Serve read at import; ``warm`` has Ray's workers started ahead."""
    return {
        **os.environ,
        MARK: cluster_id,
        "XINFER_HOME": str(home),
        "PYTHONUNBUFFERED": "1",
        "SPT_NOENV": "1",  # a process that renames itself must not write its new name over the mark
        **ray_token_environment(home),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # 15 unless told otherwise, for supervisors and engines alike
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",  # detached actors never drain; models are taken down before
        "RAY_health_check_timeout_ms": "3000",  # one that nobody can reach does not answer: five times as long, and as the next
        "RAY_health_check_period_ms": "1000",  # Ray takes a node for lost after five failures; until then it places actors there
        "RAY_task_events_report_interval_ms": "0",  # only Ray's dashboard shows them; every process would send its own
        # Dead actors and workers that Ray's head remembers, for its dashboard; 100,000 of each by default, some 40 KiB an actor.
        "RAY_maximum_gcs_destroyed_actor_cached_count": "100",
        "RAY_maximum_gcs_dead_worker_cached_count": "100",
        "REPORTER_UPDATE_INTERVAL_MS": "15000",  # Prometheus reads them as often; each time takes 30 ms of CPU
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        # Ten seconds of attempts at the object store, and not one each second: the first often comes before it listens.
        "RAY_raylet_client_connect_timeout_milliseconds": "50",
        "RAY_raylet_client_num_connect_attempts": "200",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0.5",
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "20",  # Serve kills one that is not ready after three of them; 5 by default
        "RAY_SERVE_FORCE_STOP_UNHEALTHY_REPLICAS": "1",  # one that hangs would have the time to finish its requests, too
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": SERVE_MIDDLEWARES,
        **({SPARE_WORKERS: "1"} if warm else {}),
        # Serve's own proxy, to which HAProxy turns without supervisors, would share its port with another cluster's.
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": _port("RAY_SERVE_FALLBACK_PROXY_HTTP_PORT", 8500),
        **_haproxy(home, cluster_id),
    }


def ray_token_environment(home: Path) -> dict[str, str]:
    """What has a process show the cluster's secret, which is made if there is none."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token_file(home))}


def _token_path(home: Path) -> Path:
    return home / "ray.token"


def has_token(home: Path) -> bool:
    """Whether the secret is there already."""
    return _token_path(home).is_file()


def token_file(home: Path) -> Path:
    """The secret that Ray's processes show each other; made on first use, readable by its owner alone."""
    path = _token_path(home)
    if not path.exists():
        _write_token(home, secrets.token_hex(32))
    return path


def _write_token(home: Path, token: str) -> None:
    home.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(_token_path(home), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(token)


def keep_token(home: Path, token: str) -> None:
    """Make ``token`` this node's secret: that of the cluster which it is about to join. ``ValueError`` if it cannot be one."""
    if not token or not token.isascii() or not token.isalnum():
        raise ValueError("token: expected the letters and digits that `xinfer nodes join-command` shows on the head")
    _token_path(home).unlink(missing_ok=True)
    _write_token(home, token)


def socket_folder(cluster_id: str) -> Path:
    """Where a cluster's sockets are. Linux and HAProxy allow a socket's path about 100 bytes, too few for most homes."""
    return Path("/tmp") / f"xinfer-{cluster_id[:8]}"


def _haproxy(home: Path, cluster_id: str) -> dict[str, str]:
    """HAProxy's files in a folder that others cannot enter, its binary behind our wrapper, its ports where nobody else's are."""
    folder = socket_folder(cluster_id)
    folder.mkdir(mode=0o700)
    prefix = "RAY_SERVE_HAPROXY_"
    return {
        prefix + "BINARY_PATH": str(_wrapper(home / "run")),
        prefix + "CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        prefix + "SOCKET_PATH": str(folder / "admin.sock"),
        prefix + "METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
        prefix + "SERVER_STATE_BASE": str(folder),
        prefix + "SERVER_STATE_FILE": str(folder / "server-state"),
        prefix + "METRICS_PORT": _port(prefix + "METRICS_PORT", 9101),
        prefix + "STATS_PORT": _port(prefix + "STATS_PORT", 8404),
        prefix + "NBTHREAD": os.environ.get(prefix + "NBTHREAD") or str(_haproxy_threads()),
    }


def _haproxy_threads() -> int:
    """Serve's four where there is room. Threads that wake each other across few cores cost more than they carry."""
    return min(4, max(1, len(os.sched_getaffinity(0)) // 4))


def _port(variable: str, usual: int) -> str:
    """The operator's choice, else the usual port, else one that is free."""
    return os.environ.get(variable) or str(free_port("127.0.0.1", usual))


def _wrapper(run: Path) -> Path:
    run.mkdir(parents=True, exist_ok=True)
    path = run / "haproxy-on-loopback"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m xinfer.cluster.haproxy "$@"\n')
    path.chmod(0o700)
    return path
