"""How a node joins a cluster that runs, and leaves it: what is checked before, and what is done first."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.environment import MARK, has_token, ray_token_environment, token_file
from xinfer.cluster.processes import of_cluster
from xinfer.errors import Conflict, LaunchFailed, LaunchRefused

_JOIN = "supervisor.nodes.join"
_LEAVE = "supervisor.nodes.leave"
_CONNECT_S = 5.0
_COMPARE_S = 40.0
_LEAVE_ANSWER_S = 10.0
_ERROR_LENGTH = 500
_NODE_ID = "--node_id="


def join_command(home: Path, command: str = "xinfer") -> str:
    """What to enter on another machine for it to join the cluster of this head; ``Conflict`` where no head runs."""
    record = ClusterRecord.load(home)
    if record is None or record.endpoint is None:
        raise Conflict("No head runs here; `xinfer start` starts one.")
    return f"{command} start --join {record.ray_address} --token {token_file(home).read_text().strip()}"


def check_can_join(ray_address: str, home: Path) -> None:
    """``LaunchRefused`` if this node has no secret, or if nothing can be reached at the head's address."""
    if not has_token(home):
        raise LaunchRefused(
            "To join a cluster this node needs its secret: give --token, which `xinfer nodes join-command` shows on the head, or "
            f"copy ray.token from the head's XINFER_HOME to {home}."
        )
    host, _, port = ray_address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S):
            return
    except (OSError, ValueError) as error:
        raise LaunchRefused(
            f"There is no head at {ray_address} that this machine can reach ({error}). `xinfer nodes join-command` on the head "
            "shows its address and port; firewalls between the two have to let Ray's ports through."
        ) from error


def check_fits(ray_address: str, env: Mapping[str, str]) -> None:
    """``LaunchRefused`` if what is installed on this node, which is up, or its clock is not as on the head."""
    argv = [sys.executable, "-W", "ignore", "-m", _JOIN, ray_address]
    try:
        done = subprocess.run(
            argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_COMPARE_S
        )
    except subprocess.TimeoutExpired as error:
        raise LaunchFailed(f"The registry at {ray_address} did not answer within {_COMPARE_S:g} s.") from error
    if done.returncode:
        raise LaunchFailed(f"The registry at {ray_address} could not be asked:\n{done.stderr.strip()[-_ERROR_LENGTH:]}")
    misfit = done.stdout.strip()
    if misfit:
        raise LaunchRefused(misfit)


def leave(record: ClusterRecord, home: Path, timeout_s: float) -> None:
    """Have Serve start the replicas of this node elsewhere; returns when none is left here, or after ``timeout_s`` seconds."""
    node_id = _node_id(record.id)
    if node_id is None:
        return
    argv = [sys.executable, "-W", "ignore", "-m", _LEAVE, record.ray_address, node_id, str(timeout_s)]
    env = {**os.environ, **ray_token_environment(home), MARK: record.id}
    silent = subprocess.DEVNULL
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(argv, env=env, stdin=silent, stdout=silent, stderr=silent, timeout=timeout_s + _LEAVE_ANSWER_S)


def _node_id(cluster_id: str) -> str | None:
    """The ID that Ray has given to the node of this machine; None if its raylet does not run."""
    for process in of_cluster(cluster_id):
        with contextlib.suppress(psutil.Error):
            for word in process.cmdline():
                if word.startswith(_NODE_ID):
                    return word.removeprefix(_NODE_ID)
    return None
