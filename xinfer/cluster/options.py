"""What ``xinfer start`` can be told."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from xinfer.access_settings import LAUNCH_VARIABLES, AccessSettings
from xinfer.cluster import given_keys, tls
from xinfer.cluster.given_keys import GivenKey
from xinfer.cluster.ports import outward_address
from xinfer.messages import KeyScope
from xinfer.node_labels import check_labels
from xinfer.request_log import LogFormat
from xinfer.settings import DEFAULT_HOST, DEFAULT_PORT, Routing

LOOPBACK_NODE = "127.0.0.1"
"""Node address of a cluster on this machine alone. With this one, and no other, all of Ray listens on loopback."""


@dataclass(frozen=True, slots=True)
class StartOptions:
    """One node's options; ``join`` makes it a worker node of the cluster at that address, else it is the head."""

    host: str = DEFAULT_HOST
    """Where the REST API listens."""
    port: int = DEFAULT_PORT
    node_ip: str | None = None
    """This node's address inside the cluster; None is loopback for a cluster on loopback, else the one that others see."""
    ray_port: int = 6379
    join: str | None = None
    num_gpus: int | None = None
    """GPUs this node offers; None counts those it has."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What operators say of this node, for launches to choose by."""
    supervisors: int | None = None
    """On the head, which then answers requests alone."""
    supervisors_per_node: int | None = None
    """On each node, each of which then answers requests; None, with ``supervisors`` not given, is one where others reach the
    API, and one on the head alone otherwise."""
    routing: Routing = Routing.PREFIX
    cors_origins: tuple[str, ...] = ()
    warm_host: bool = True
    """Keep a process on this node from which engines start in seconds."""
    dashboard: bool = False
    """Run Ray's dashboard on the head, on loopback."""
    head_recovery: bool = False
    """Keep Ray's state on disk, so that this head, once lost, can be started again under the nodes that have joined."""
    log_format: LogFormat | None = None
    """How requests are logged; None leaves it to the environment."""
    auth: bool | None = None
    """Whether the REST API requires keys; None requires them where others reach it."""
    keys_from: str | None = None
    """Folder with keys that this cluster takes, in files named after their scopes."""
    model_dirs: tuple[str, ...] = ()
    """Folders whose models may be launched with a key of the scope launch."""
    launch_env: tuple[str, ...] = ()
    """Environment variables that such a launch may set, beside the usual ones."""
    tls_cert: str | None = None
    """File with the certificate of the REST API, in PEM format; None is without TLS."""
    tls_key: str | None = None
    """File with its key; None if it is in the same file."""
    insecure: bool = False
    """Allow a host that others reach without keys."""
    fresh: bool = False
    """Forget the models that ran before."""
    allow_fake_engine: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.port < 65536:
            raise ValueError(f"port={self.port}: expected a number from 1 to 65535")
        self._check_supervisors()
        check_labels(self.labels)
        if self.tls_key and not self.tls_cert:
            raise ValueError("tls_key: expected tls_cert beside it")
        if self.tls_cert:
            tls.check(self.tls_cert, self.tls_key)
        if self.keys_from and (self.join or not self.requires_keys):
            raise ValueError("keys_from: expected on a head that requires keys (--auth, or a host that others reach)")
        if self.keys_from:
            given_keys.read(Path(self.keys_from))
        if self.head_recovery and self.join:
            raise ValueError("head_recovery: a node that joins keeps no state of the cluster; start the head with it")
        if not self.is_loopback and not self.requires_keys and not self.insecure:
            raise ValueError(
                f"host={self.host}: without keys, anybody who reaches that address could launch models and use them. "
                "Leave --no-auth out, listen on 127.0.0.1, or say --insecure in a closed network"
            )

    def _check_supervisors(self) -> None:
        for name in ("supervisors", "supervisors_per_node"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise ValueError(f"{name}={number}: expected at least 1")
        if self.supervisors_per_node is None:
            return
        if self.supervisors is not None:
            raise ValueError("supervisors_per_node: expected either this or supervisors, not both")
        # Others' ingress would be at addresses that more than this machine reaches.
        if self.is_loopback and not _is_loopback(self.node_address):
            raise ValueError(
                f"supervisors_per_node: host={self.host} is for this machine only, and other nodes have addresses that others "
                "reach; give an address of this machine that others can reach as --host"
            )

    @property
    def on_each_node(self) -> int | None:
        """Supervisors of each node; None where only the head has any."""
        if self.supervisors_per_node is not None or self.supervisors is not None or self.is_loopback:
            return self.supervisors_per_node
        return 1

    @property
    def first_supervisors(self) -> int:
        """Those of the head, with which a cluster starts."""
        return self.on_each_node or self.supervisors or 1

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches the REST API."""
        return _is_loopback(self.host)

    @property
    def requires_keys(self) -> bool:
        """Whether the REST API answers nobody without a key."""
        if self.auth is not None:
            return self.auth
        return not self.is_loopback and not self.insecure

    @property
    def guards_engines(self) -> bool:
        """Whether engines take requests from the cluster's own parts only: unless nobody but this machine reaches them."""
        return self.requires_keys or not self.is_loopback or bool(self.node_ip or self.join)

    @property
    def access(self) -> AccessSettings | None:
        """What supervisors are told of keys; None where none are required."""
        if not self.requires_keys:
            return None
        folders = tuple(str(Path(folder).expanduser().absolute()) for folder in self.model_dirs)
        return AccessSettings(self.first_supervisors, folders, (*LAUNCH_VARIABLES, *self.launch_env))

    @property
    def given_keys(self) -> tuple[GivenKey, ...] | None:
        """The keys of ``keys_from``. ``ValueError`` if they cannot be read any more."""
        if self.keys_from is None:
            return None
        return given_keys.read(Path(self.keys_from))

    @property
    def endpoint(self) -> str:
        """Where clients on this machine find the REST API."""
        if self.host in ("0.0.0.0", "localhost"):
            host = "127.0.0.1"
        else:
            host = self.host
        scheme = "https" if self.tls_cert else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def node_address(self) -> str | None:
        """What Ray is told to use; None, on a node that joins, for its own choice."""
        if self.node_ip or self.join:
            return self.node_ip
        return (None if self.is_loopback else outward_address()) or LOOPBACK_NODE


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class BootOptions:
    """What ``supervisor.boot`` is told, as one JSON argument."""

    ray_address: str
    host: str
    port: int
    supervisors: int
    routing: Routing
    cors_origins: tuple[str, ...]
    on_each_node: bool
    """So many supervisors on each node, each of which has an HAProxy; else on the head alone."""
    allow_fake: bool
    access: AccessSettings | None = None
    """None where no keys are required."""
    given_keys: tuple[GivenKey, ...] | None = None
    """None leaves alone what was given at an earlier start."""

    def dump(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> BootOptions:
        fields = json.loads(text)
        fields["routing"] = Routing(fields["routing"])
        fields["cors_origins"] = tuple(fields["cors_origins"])
        if fields["access"]:
            given = fields["access"]
            fields["access"] = AccessSettings(
                given["supervisors"], tuple(given["model_dirs"]), tuple(given["launch_variables"])
            )
        if fields["given_keys"] is not None:
            keys = [GivenKey(key["id"], KeyScope(key["scope"]), key["digest"]) for key in fields["given_keys"]]
            fields["given_keys"] = tuple(keys)
        return cls(**fields)
