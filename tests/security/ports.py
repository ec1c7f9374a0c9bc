"""Who listens where, of a running cluster, as the table in docs/operations.md has it.

``python -m tests.security.ports HOME`` prints that table's rows as the cluster of the folder ``HOME`` has them.
"""

from __future__ import annotations

import ipaddress
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import psutil

from tests.docs.blocks import ROOT
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.processes import command_line, of_cluster

_PAGE = ROOT / "docs" / "operations.md"
_SERVES = range(30000, 32768)
"""Ports that Serve gives its replicas; Linux gives others from 32768 on."""
EVERYWHERE, HOST, NODE, LOOPBACK = "**every interface**", "`--host`", "the node's address", "127.0.0.1"
_WIDEST_FIRST = (EVERYWHERE, HOST, NODE, LOOPBACK)


class Kind(Enum):
    """What listens, in the words of the table."""

    API = "REST API (HAProxy)"
    HAPROXY = "HAProxy's metrics and statistics"
    SUPERVISOR = "supervisors and Serve's own proxy, behind HAProxy"
    ENGINE = "engines"
    ENGINE_PARTS = "the processes of an engine, for each other"
    RAY_METRICS = "Ray's metrics"
    RAY = "Ray's own services, in each of its processes, and calls between Serve's replicas"
    UNKNOWN = "not in the table"


@dataclass(frozen=True, slots=True)
class Listener:
    kind: Kind
    address: str
    port: int
    process: str


def listeners(home: Path) -> set[Listener]:
    """Everything that listens in the cluster of ``home``."""
    record = ClusterRecord.load(home)
    assert record, f"no cluster runs in {home}"
    found: set[Listener] = set()
    processes = of_cluster(record.id)
    engines = _ports_of(each for each in processes if "worker.engine_server" in command_line(each))
    for process in processes:
        for address, port in _sockets(process):
            kind = _kind(process, address, port, record, engines)
            found.add(Listener(kind, address.removeprefix("::ffff:"), port, command_line(process)[:40].strip()))
    return found


def where(found: set[Listener], home: Path) -> dict[Kind, str]:
    """From where each kind can be reached at the most, in the words of the table."""
    record = ClusterRecord.load(home)
    assert record
    node = record.ray_address.rpartition(":")[0]
    host = next(each.address for each in found if each.kind is Kind.API)
    by_kind: dict[Kind, set[str]] = {kind: set() for kind in Kind}
    for each in found:
        by_kind[each.kind].add(_place(each, node, host))
    return {kind: min(places, key=_WIDEST_FIRST.index) for kind, places in by_kind.items() if places}


def documented(column: int) -> dict[str, str]:
    """What docs/operations.md says: of each listener, the addresses in this column of its table, 1 or 2, without ports."""
    _, _, rest = _PAGE.read_text().partition("| listener |")
    rows = rest.partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {row[0]: row[column].partition(",")[0] for row in cells}


def _place(listener: Listener, node: str, host: str) -> str:
    if listener.kind in (Kind.API, Kind.SUPERVISOR) and listener.address == host:
        return HOST
    if ipaddress.ip_address(listener.address).is_loopback:
        return LOOPBACK
    if listener.address == node:
        return NODE
    return EVERYWHERE


def _kind(process: psutil.Process, address: str, port: int, record: ClusterRecord, engines: set[int]) -> Kind:
    words = command_line(process)
    if process.name() == "haproxy":
        return Kind.API if str(record.endpoint).endswith(f":{port}") else Kind.HAPROXY
    if port in engines:
        return Kind.ENGINE
    if words.startswith("VLLM::") or "worker.engine_server" in words:
        return Kind.ENGINE_PARTS
    if words.startswith("ray::ServeReplica") and port in _SERVES:
        return Kind.SUPERVISOR
    if words.startswith("ray::ProxyActor") and address[:2] != "::":
        return Kind.SUPERVISOR
    # Its calls come over both versions of IP, and its metrics over one.
    if words.startswith("ray::DashboardAgent") and address[:2] != "::":
        return Kind.RAY_METRICS
    if "dashboard/dashboard.py" in words:
        return Kind.RAY_METRICS
    if process.name() in ("gcs_server", "raylet") or words.startswith("ray::"):
        return Kind.RAY
    return Kind.UNKNOWN


def _ports_of(processes: object) -> set[int]:
    return {port for process in processes for _, port in _sockets(process)}  # type: ignore[attr-defined]


def _sockets(process: psutil.Process) -> list[tuple[str, int]]:
    try:
        connections = process.net_connections("inet")
    except psutil.Error:
        return []
    return [(each.laddr.ip, each.laddr.port) for each in connections if each.status == psutil.CONN_LISTEN]


def main() -> None:
    home = Path(sys.argv[1])
    for kind, places in where(listeners(home), home).items():
        print(f"| {kind.value} | {places} |")


if __name__ == "__main__":
    main()
