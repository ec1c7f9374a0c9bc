"""Start and stop of a node, step by step, for whoever shows the steps."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import shutil
import time
import urllib.request
import uuid
from collections.abc import Generator, Mapping
from pathlib import Path

from xinfer import registry_file
from xinfer.cluster import tls
from xinfer.cluster.boot_process import BootProcess
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.cluster_secret import GUARD_ENGINES, operator_key
from xinfer.cluster.environment import cluster_environment, socket_folder
from xinfer.cluster.head_state import HeadState
from xinfer.cluster.membership import check_can_join, check_fits, leave
from xinfer.cluster.node_ingress import ON_EACH_NODE, remove_elsewhere
from xinfer.cluster.options import BootOptions, StartOptions
from xinfer.cluster.ports import is_free
from xinfer.cluster.processes import end, of_cluster
from xinfer.cluster.ray_node import RayNode
from xinfer.errors import Conflict, LaunchFailed
from xinfer.request_log import FORMAT_VARIABLE

_NODE_START_S = 90.0
_STOP_GRACE_S = 8.0
AT_ONCE_S = 0.5
"""The grace of a stop that somebody is in a hurry about."""
_ANSWER_S = 30.0
_DRAIN_ANSWER_S = 10.0
_PORT_S = 10.0


class StartTurn:
    """Has this user's clusters on one machine start one after the other.

    Ray's dashboard and HAProxy look for ports that are free, and bind them seconds later: of two that start at the same moment
    one does not come up.
    """

    def __init__(self, path: Path | None = None) -> None:
        path = path or Path(f"/tmp/xinfer-start-{os.getuid()}.lock")
        self._descriptor: int | None = None
        # Where somebody else has put something in its place, clusters start as they come.
        with contextlib.suppress(OSError):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)

    def take(self) -> bool:
        """Whether it is this process's turn now."""
        if self._descriptor is None:
            return True
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def wait(self) -> None:
        """Return when it is this process's turn."""
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def end(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)


class NodeLifecycle:
    """The node of this machine whose files are in ``home``."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.node: RayNode | None = None
        self.admin_key: str | None = None
        """The text of the first admin key, if the start has made it: this is the only place that ever has it."""

    def running(self) -> ClusterRecord | None:
        """The record of what runs here; a record whose processes are all gone is removed."""
        record = ClusterRecord.load(self.home)
        if record and not of_cluster(record.id):
            self._forget(record.id)
            return None
        return record

    def start(self, options: StartOptions) -> Generator[str, None, None]:
        """Start the node; yields what it is about to do. Raises ``Conflict`` or ``LaunchFailed``, and then nothing is left."""
        self._check_possible(options)
        turn = StartTurn()
        if not turn.take():
            yield "waiting for another cluster on this machine to start"
            turn.wait()
        try:
            yield from self._start(options)
        finally:
            turn.end()

    def _start(self, options: StartOptions) -> Generator[str, None, None]:
        record_id = uuid.uuid4().hex
        env = cluster_environment(self.home, record_id, warm=options.warm_host)
        if options.log_format is not None:
            env[FORMAT_VARIABLE] = options.log_format.value
        if options.guards_engines:
            env[GUARD_ENGINES] = "1"
        env.pop(ON_EACH_NODE, None)
        if options.on_each_node and not options.join:
            env[ON_EACH_NODE] = "1"
        self._prepare_tls(options, env)
        if options.fresh:
            registry_file.remove(self.home)
        state = HeadState(self.home)
        if options.fresh or not options.head_recovery:
            state.forget()
        if options.head_recovery:
            env.update(state.environment())
        try:
            if state.ray_address:
                yield "taking over from the head that was lost"
                _wait_until_free(state.ray_address)
            else:
                yield "starting Ray"
            self.node = RayNode(options, env, self.home)
            if options.head_recovery:
                _check_same_address(state, self.node.address)
                state.keep(self.node.address)
            endpoint = None if options.join else options.endpoint
            record = ClusterRecord(record_id, endpoint, self.node.address, time.time(), options.requires_keys)
            record.save(self.home)
            self.node.start()
            if options.join:
                self.node.wait_started(_NODE_START_S)
                yield "comparing versions and clocks with the head's"
                check_fits(options.join, env)
                self.node.tell_joined()
            else:
                with self._boot_process(options, env) as boot:
                    self.node.wait_started(_NODE_START_S)
                    yield from boot.steps(self.node.is_alive)
                    self.admin_key = boot.admin_key
                yield "waiting for the REST API"
                _wait_until_answering(options.endpoint, self.home)
        except BaseException:
            if not self._end(_STOP_GRACE_S):
                # It had not come to its first process.
                self._forget(record_id)
            raise

    def _prepare_tls(self, options: StartOptions, env: dict[str, str]) -> None:
        tls.pem_file(self.home).unlink(missing_ok=True)
        for name in (tls.PEM, tls.CERTIFICATE, tls.KEY):
            env.pop(name, None)
        if options.tls_cert:
            env[tls.PEM] = str(tls.write_pem(self.home, options.tls_cert, options.tls_key))
            env[tls.CERTIFICATE] = str(Path(options.tls_cert).absolute())
            if options.tls_key:
                env[tls.KEY] = str(Path(options.tls_key).absolute())

    def drain(self, timeout_s: float) -> None:
        """Have the cluster of this head take no more requests, and wait up to ``timeout_s`` seconds for those under way.

        What is left then ends with an error. Nothing happens if nobody answers. A node that has joined is left by its replicas:
        Serve starts them on other nodes, where there is room, before it ends them here.
        """
        record = ClusterRecord.load(self.home)
        if record is None:
            return
        if record.endpoint is None:
            leave(record, self.home, timeout_s)
            return
        request = urllib.request.Request(
            f"{record.endpoint}/v1/cluster/drain",
            data=json.dumps({"timeout": timeout_s}).encode(),
            headers={"Content-Type": "application/json", **self._authorization(record)},
            method="POST",
        )
        with contextlib.suppress(OSError):
            tls.open_own(request, self.home, timeout_s + _DRAIN_ANSWER_S)

    def _authorization(self, record: ClusterRecord) -> dict[str, str]:
        key = operator_key(self.home) if record.requires_keys else None
        if key is None:
            return {}
        return {"Authorization": f"Bearer {key}"}

    def stop(self, grace_s: float = _STOP_GRACE_S) -> bool:
        """End every process of the node here, engines and HAProxy included; False if there was none.

        Each has ``grace_s`` seconds to end by itself. What Ray kept for the recovery of the head is removed.
        """
        there_was_one = self._end(grace_s)
        HeadState(self.home).forget()
        return there_was_one

    def _end(self, grace_s: float) -> bool:
        record = ClusterRecord.load(self.home)
        if record is None:
            return False
        while left := of_cluster(record.id):
            end(left, grace_s)
            # What has been started meanwhile has nothing to finish.
            grace_s = 0.0
        if self.node:
            self.node.reap()
        self._forget(record.id)
        return True

    def _forget(self, cluster_id: str) -> None:
        """Remove what a cluster without processes has left beside its logs."""
        tls.pem_file(self.home).unlink(missing_ok=True)
        _keep_logs(socket_folder(cluster_id), self.home / "logs")
        remove_elsewhere(socket_folder(cluster_id))
        shutil.rmtree(socket_folder(cluster_id), ignore_errors=True)
        ClusterRecord.forget(self.home)

    def _check_possible(self, options: StartOptions) -> None:
        _check_supervisor_package()
        record = self.running()
        if record:
            raise Conflict(
                f"A cluster runs here already, at {record.endpoint or record.ray_address}. `xinfer stop` ends it."
            )
        if options.join:
            check_can_join(options.join, self.home)
        if not options.join and not options.fresh:
            registry_file.check_readable(registry_file.file_in(self.home))
        if not options.join and not is_free(options.host, options.port):
            raise Conflict(f"Something else listens on {options.host}:{options.port}. Choose another port with --port.")

    def _boot_process(self, options: StartOptions, env: Mapping[str, str]) -> BootProcess:
        assert self.node is not None
        told = BootOptions(
            ray_address=self.node.address,
            host=options.host,
            port=options.port,
            supervisors=options.first_supervisors,
            routing=options.routing,
            cors_origins=options.cors_origins,
            access=options.access,
            given_keys=options.given_keys,
            on_each_node=options.on_each_node is not None,
            allow_fake=options.allow_fake_engine,
        )
        return BootProcess(told, env, self.home / "logs" / "boot.log")


def _check_supervisor_package() -> None:
    """A process manager on PyPI is called ``supervisor`` too; with it in the environment ours cannot be imported."""
    found = importlib.util.find_spec("supervisor")
    origin = Path(found.origin) if found and found.origin else None
    if origin is None or not (origin.parent / "boot.py").exists():
        raise Conflict(
            "The package `supervisor` in this environment is not xinfer's. Install xinfer into an environment of its own, or run "
            "`pip uninstall -y supervisor` and install xinfer again."
        )


def _wait_until_free(ray_address: str) -> None:
    """Wait for a moment if the port is taken: processes that were killed may still be on their way out."""
    host, _, port = ray_address.rpartition(":")
    deadline = time.monotonic() + _PORT_S
    while not is_free(host, int(port)) and time.monotonic() < deadline:
        time.sleep(0.1)


def _check_same_address(state: HeadState, ray_address: str) -> None:
    if state.ray_address not in (None, ray_address):
        raise Conflict(
            f"The nodes of the cluster look for its head at {state.ray_address}, and this one would be at {ray_address}. "
            "Start it with the address and the port of before (--node-ip, --ray-port), end what has taken the port meanwhile, or "
            "give that cluster up by `xinfer stop`."
        )


def _wait_until_answering(endpoint: str, home: Path) -> None:
    """Serve says that it is ready a little before HAProxy is."""
    deadline = time.monotonic() + _ANSWER_S
    while True:
        try:
            tls.open_own(f"{endpoint}/health", home, timeout_s=5)
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise LaunchFailed(f"The cluster is up, but {endpoint} does not answer: {error}") from error
        time.sleep(0.1)


def _keep_logs(sockets: Path, logs: Path) -> None:
    """Ray's logs, where its session had to be beside the sockets."""
    for session in sockets.glob("ray/session_2*/logs"):
        shutil.copytree(session, logs / "ray" / session.parent.name, dirs_exist_ok=True, symlinks=True)
