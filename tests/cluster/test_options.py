"""What `xinfer start` can be told."""

from __future__ import annotations

from typing import Any

import pytest

from xinfer.access_settings import AccessSettings
from xinfer.cluster.options import LOOPBACK_NODE, BootOptions, StartOptions
from xinfer.cluster.ports import outward_address
from xinfer.settings import GatewaySettings, Routing


def test_loopback_is_the_default() -> None:
    options = StartOptions()
    assert options.is_loopback
    assert options.endpoint == "http://127.0.0.1:9997"
    assert options.node_address == LOOPBACK_NODE
    assert not options.allow_fake_engine


def test_routing_is_by_prefix_unless_it_is_said() -> None:
    assert StartOptions().routing is GatewaySettings().routing is Routing.PREFIX
    assert StartOptions(routing=Routing.LEAST_BUSY).routing is Routing.LEAST_BUSY


@pytest.mark.parametrize(
    ("host", "endpoint"),
    [
        ("127.0.0.1", "http://127.0.0.1:9997"),
        ("127.0.0.9", "http://127.0.0.9:9997"),
        ("localhost", "http://127.0.0.1:9997"),
        ("::1", "http://[::1]:9997"),
    ],
)
def test_loopback(host: str, endpoint: str) -> None:
    options = StartOptions(host=host)
    assert options.is_loopback
    assert options.endpoint == endpoint


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::", "example.com", "127.0.0.1.evil.com", ""])
def test_any_other_host_requires_keys_unless_it_is_wanted(host: str) -> None:
    open_to_others = StartOptions(host=host)
    assert open_to_others.requires_keys
    assert open_to_others.guards_engines
    assert open_to_others.access
    with pytest.raises(ValueError, match="--insecure"):
        StartOptions(host=host, auth=False)
    for auth in (None, False):
        options = StartOptions(host=host, auth=auth, insecure=True)
        assert not options.requires_keys
        assert options.access is None
        assert options.node_address == (outward_address() or LOOPBACK_NODE)
    assert StartOptions(host=host, auth=True, insecure=True).requires_keys


@pytest.mark.parametrize(
    ("given", "on_each_node", "first"),
    [
        ({}, None, 1),
        ({"supervisors": 3}, None, 3),
        ({"supervisors_per_node": 2}, 2, 2),
        ({"host": "10.0.0.1"}, 1, 1),
        ({"host": "10.0.0.1", "supervisors": 3}, None, 3),
        ({"host": "0.0.0.0", "supervisors_per_node": 2}, 2, 2),
    ],
    ids=str,
)
def test_supervisors_are_on_each_node_where_others_reach_it(
    given: dict[str, Any], on_each_node: int | None, first: int
) -> None:
    options = StartOptions(**given)
    assert (options.on_each_node, options.first_supervisors) == (on_each_node, first)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"supervisors": 0}, "supervisors=0"),
        ({"supervisors_per_node": 0}, "supervisors_per_node=0"),
        ({"supervisors": 1, "supervisors_per_node": 1}, "not both"),
        ({"supervisors_per_node": 1, "node_ip": "10.0.0.1"}, "for this machine only"),
    ],
    ids=str,
)
def test_numbers_of_supervisors_that_cannot_be(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StartOptions(**given)


def test_loopback_requires_keys_only_if_they_are_wanted() -> None:
    assert not StartOptions().requires_keys
    assert not StartOptions().guards_engines
    assert StartOptions(auth=True).requires_keys
    assert StartOptions(node_ip="10.0.0.5").guards_engines
    assert StartOptions(join="10.0.0.1:6379").guards_engines


def test_every_interface_is_reached_by_loopback() -> None:
    assert StartOptions(host="0.0.0.0", insecure=True).endpoint == "http://127.0.0.1:9997"


def test_address_of_the_node() -> None:
    assert StartOptions(node_ip="10.0.0.5").node_address == "10.0.0.5"
    assert StartOptions(join="10.0.0.1:6379").node_address is None


@pytest.mark.parametrize(("name", "value"), [("port", 0), ("port", 65536), ("port", -1), ("supervisors", 0)])
def test_bad_value_is_named(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"^{name}={value}: expected"):
        StartOptions(**{name: value})


@pytest.mark.parametrize("routing", Routing)
def test_boot_options_travel_as_text(routing: Routing) -> None:
    access = AccessSettings(2, ("/models",), ("A", "B"))
    options = BootOptions(
        "127.0.0.2:6379",
        "::1",
        9997,
        2,
        routing,
        ("https://a.example",),
        on_each_node=False,
        allow_fake=False,
        access=access,
    )
    read = BootOptions.parse(options.dump())
    assert read == options
    assert read.routing is routing
