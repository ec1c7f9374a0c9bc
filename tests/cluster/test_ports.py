"""Finding ports."""

from __future__ import annotations

import socket

from xinfer.cluster.ports import free_port, is_free, outward_address


def test_port_that_somebody_listens_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free("127.0.0.1", port)
        other = free_port("127.0.0.1", port)
        assert other != port
        assert is_free("127.0.0.1", other)
    assert is_free("127.0.0.1", port)
    assert free_port("127.0.0.1", port) == port


def test_address_that_is_not_ours() -> None:
    assert not is_free("192.0.2.1", 9997)


def test_port_of_a_connection_that_has_just_ended_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        accepted.close()  # the server's side closes first and stays in TIME_WAIT
        client.close()
    assert is_free("127.0.0.1", port)


def test_ipv6() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        port = server.getsockname()[1]
        assert not is_free("::1", port)
        assert free_port("::1", port) != port


def test_outward_address_is_one_of_this_machine() -> None:
    assert is_free(outward_address() or "127.0.0.1", 0)
