"""One Ray node as a process of ours (``xinfer.cluster.node_process``), in a session of its own: a Ctrl-C reaches xinfer alone."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from xinfer.cluster.environment import MARK, socket_folder
from xinfer.cluster.gpu_labels import gpu_labels
from xinfer.cluster.node_process import REJOIN, WARM_HOST
from xinfer.cluster.options import StartOptions
from xinfer.cluster.ports import free_port
from xinfer.errors import LaunchFailed, LaunchRefused
from xinfer.names import NODE_PROCESS, RAY_COMMAND
from xinfer.node_labels import as_text

_STARTED = "Ray runtime started"
_WRONG_TOKEN = "InvalidAuthToken"
# Control messages only; tokens do not pass through it.
_OBJECT_STORE_BYTES = 128 * 1024 * 1024
_DASHBOARD_PORT = 8265


class RayNode:
    """A node to start, or one that runs. ``address`` is the cluster's."""

    def __init__(self, options: StartOptions, env: Mapping[str, str], home: Path) -> None:
        self._sockets = socket_folder(env[MARK])
        self._log = home / "logs" / "ray.log"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._node_address = options.node_address
        self._port = free_port(self._node_address or "127.0.0.1", options.ray_port)
        self.address = options.join or f"{self._node_address}:{self._port}"
        self._temp_dir = _temp_dir(home, self._sockets)
        if options.head_recovery and self._temp_dir.parent != home:
            raise LaunchRefused(
                f"The recovery of the head needs a shorter XINFER_HOME than {home}: sockets are below it."
            )
        ray = [sys.executable, "-m", RAY_COMMAND, "start", "--block", *self._arguments(options)]
        flags = [WARM_HOST] if options.warm_host else []
        if options.join:
            flags.append(REJOIN)
        self._argv = [sys.executable, "-m", NODE_PROCESS, *flags, *ray]
        self._env = dict(env)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process; ``wait_started`` says when the node is up."""
        # Left by a head that was killed. With another node's process on this machine, Ray would take that head for alive.
        (self._temp_dir / "ray_current_cluster").unlink(missing_ok=True)
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                self._argv,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def is_alive(self) -> bool:
        """Whether Ray's process runs."""
        return self._process is not None and self._process.poll() is None

    def tell_joined(self) -> None:
        """Tell the process that the cluster has taken this node: it joins again by itself when it is lost."""
        if self._process:
            self._process.send_signal(signal.SIGUSR1)

    def reap(self) -> None:
        """Collect the process's exit, once it has been told to end."""
        if self._process:
            self._process.wait()

    def wait_started(self, timeout_s: float) -> None:
        """Return when the node is up; ``LaunchFailed`` with the end of its log if it does not come up in time.

        ``LaunchRefused`` if it is to join and the head does not accept its secret.
        """
        deadline = time.monotonic() + timeout_s
        while _STARTED not in (text := self._log.read_text(errors="replace")):
            # Ray would try for 20 seconds more.
            if _WRONG_TOKEN in text:
                raise LaunchRefused(
                    f"The head at {self.address} does not accept this token; `xinfer nodes join-command` there shows its own."
                )
            if not self.is_alive() or time.monotonic() > deadline:
                raise LaunchFailed(f"Ray did not start. The end of {self._log}:\n" + "\n".join(text.splitlines()[-15:]))
            time.sleep(0.1)

    def _arguments(self, options: StartOptions) -> list[str]:
        arguments = ["--disable-usage-stats", "--object-store-memory", str(_OBJECT_STORE_BYTES)]
        # It sends what workers print to drivers, and none of ours asks for it.
        arguments += ["--include-log-monitor", "false"]
        if self._node_address:
            arguments += ["--node-ip-address", self._node_address]
        if options.num_gpus is not None:
            arguments += ["--num-gpus", str(options.num_gpus)]
        labels = {**gpu_labels(), **options.labels}
        if labels:
            arguments += ["--labels", as_text(labels)]
        if options.join:
            return [*arguments, "--address", options.join]
        return [
            *arguments,
            "--head",
            "--no-monitor",  # the autoscaler of nodes, of which there is no configuration
            *("--port", str(self._port)),
            *_dashboard(options),
            *("--temp-dir", str(self._temp_dir)),
        ]


def _dashboard(options: StartOptions) -> list[str]:
    """Off unless it is wanted: nothing here needs it, and its ten processes start with the head and never rest."""
    if not options.dashboard:
        return ["--include-dashboard", "false"]
    port = free_port("127.0.0.1", _DASHBOARD_PORT)
    return ["--include-dashboard", "true", "--dashboard-host", "127.0.0.1", "--dashboard-port", str(port)]


def _temp_dir(home: Path, sockets: Path) -> Path:
    """Ray's sessions stay below ``home``, unless its sockets' paths would be longer than Linux allows (107 bytes)."""
    folder = home / "ray"
    longest = folder / "session_2026-01-01_00-00-00_000000_0000000" / "sockets" / "plasma_store"
    if len(str(longest)) <= 107:
        return folder
    return sockets / "ray"
