"""``make serve``, from the command to the first token."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import xinfer
from xinfer.bench.launching.cluster import Cluster
from xinfer.bench.launching.first_token import awaited_first_token
from xinfer.bench.launching.sample import Clock, Sample, moments
from xinfer.bench.launching.subject import BUNDLED, Subject
from xinfer.client import RESTfulClient
from xinfer.errors import LaunchFailed

_TIMEOUT_S = 600.0
_STOP_S = 60.0
_POLL_PERIOD_S = 0.1


def checkout() -> Path | None:
    """The checkout that this xinfer is installed from, set up; None if it was installed otherwise."""
    root = Path(xinfer.__file__).resolve().parent.parent
    is_checkout = (root / "Makefile").is_file() and (root / "deploy" / "setup.py").is_file()
    # Without the environment that `make serve` uses it would first set one up.
    is_set_up = Path(sys.prefix).resolve() == (root / ".venv").resolve()
    if is_checkout and is_set_up:
        return root
    return None


def command(cluster: Cluster, root: Path | None) -> list[str]:
    """``make serve`` on the cluster's ports, or the ``xinfer`` command in it where there is no Makefile."""
    if root is None:
        words = ["start", "--foreground", "--launch", BUNDLED]
        return [sys.executable, "-m", "xinfer.cli", *words, *cluster.ports]
    return ["make", "--no-print-directory", "serve", f"BIN={_bin(cluster, root)}"]


def _bin(cluster: Cluster, root: Path) -> Path:
    """A folder with an ``xinfer`` that adds the cluster's ports to each command."""
    # `make serve` has no option for ports, but one for the folder of its commands.
    folder = cluster.home / "bin"
    folder.mkdir()
    script = folder / "xinfer"
    script.write_text(f'#!/bin/sh\nexec "{root}/.venv/bin/xinfer" "$@" {" ".join(cluster.ports)}\n')
    script.chmod(0o700)
    return folder


def measure_serve(cluster: Cluster) -> Sample:
    """From the command to the first token, by stage. The cluster is stopped with Ctrl-C afterwards."""
    root = checkout()
    url, body = Subject().request(cluster.endpoint, BUNDLED)
    argv = command(cluster, root)
    clock = Clock()
    process = cluster.popen(argv, new_session=True, cwd=root)
    try:
        ended = awaited_first_token(
            url, body, _TIMEOUT_S, alive=lambda: process.poll() is None, period_s=_POLL_PERIOD_S
        )
        with RESTfulClient(cluster.endpoint) as client:
            progress = client.get_launch_model_progress(BUNDLED)
            return clock.sample(ended, moments(progress), before="cluster")
    except LaunchFailed as error:
        raise LaunchFailed(f"{error.message} {cluster.last_lines}") from error
    finally:
        _interrupt(process)


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    """Ctrl-C, then SIGKILL if the process does not end in time."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, number)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            continue
        return
