"""What ``xinfer start`` can be told."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from xinfer.access_settings import LAUNCH_VARIABLES, AccessSettings
from xinfer.cluster import tls
from xinfer.cluster.ports import outward_address
from xinfer.node_labels import check_labels
from xinfer.request_log import LogFormat
from xinfer.settings import DEFAULT_HOST, DEFAULT_PORT, Routing

LOOPBACK_NODE = "127.0.0.2"
"""Node address of a cluster on this machine alone. Ray keeps this one; 127.0.0.1 it turns into the outward address."""


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
    supervisors: int = 1
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
        if self.supervisors < 1:
            raise ValueError(f"supervisors={self.supervisors}: expected at least 1")
        check_labels(self.labels)
        if self.tls_key and not self.tls_cert:
            raise ValueError("tls_key: expected tls_cert beside it")
        if self.tls_cert:
            tls.check(self.tls_cert, self.tls_key)
        if self.head_recovery and self.join:
            raise ValueError("head_recovery: a node that joins keeps no state of the cluster; start the head with it")
        if not self.is_loopback and not self.requires_keys and not self.insecure:
            raise ValueError(
                f"host={self.host}: without keys, anybody who reaches that address could launch models and use them. "
                "Leave --no-auth out, listen on 127.0.0.1, or say --insecure in a closed network"
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches the REST API."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

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
        return AccessSettings(self.supervisors, folders, (*LAUNCH_VARIABLES, *self.launch_env))

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


@dataclass(frozen=True, slots=True)
class BootOptions:
    """What ``supervisor.boot`` is told, as one JSON argument."""

    ray_address: str
    host: str
    port: int
    supervisors: int
    routing: Routing
    cors_origins: tuple[str, ...]
    on_head: bool
    """Keep the supervisors on the head: on loopback, no other node's HAProxy or supervisor could be reached."""
    allow_fake: bool
    access: AccessSettings | None = None
    """None where no keys are required."""

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
        return cls(**fields)
