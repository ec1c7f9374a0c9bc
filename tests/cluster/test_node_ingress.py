"""The ingress of one node of several, as the configuration of its HAProxy."""

from __future__ import annotations

from pathlib import Path

import pytest

from xinfer.cluster.node_ingress import ON_EACH_NODE, IngressNode, keep_to_owner, remove_elsewhere

CONFIG = """\
frontend prometheus
    bind :9101
frontend http_frontend
    bind 10.0.0.1:9997
    acl healthcheck path -i /-/healthz
backend http-xinfer
    server here 127.0.0.1:30000 check
    server there 10.0.0.2:30000 check
    server proxy 10.0.0.1:8500 check backup
listen stats
  bind *:8404
"""
HEAD = IngressNode("10.0.0.1", is_head=True)
SECOND = IngressNode("10.0.0.2", is_head=False)


def lines(config: str, word: str) -> list[str]:
    return [line.strip() for line in config.splitlines() if line.strip().startswith(f"{word} ")]


def test_node_is_known_by_its_raylet() -> None:
    command = ["raylet", "--node_ip_address=10.0.0.1", "--gcs-address=10.0.0.1:6379", "--head"]
    assert IngressNode.of_raylet(command) == HEAD
    assert IngressNode.of_raylet(["raylet", "--node_ip_address=10.0.0.2"]) == SECOND
    assert IngressNode.of_raylet(["python"]) is None


def test_head_is_told_whether_it_is_alone() -> None:
    assert not HEAD.is_one_of_many({})
    assert HEAD.is_one_of_many({ON_EACH_NODE: "1"})
    assert SECOND.is_one_of_many({})


def test_every_node_listens_at_its_own_address() -> None:
    assert lines(HEAD.configuration(CONFIG), "bind") == [
        "bind 127.0.0.1:9101",
        "bind 10.0.0.1:9997",
        "bind 127.0.0.1:8404",
    ]
    assert lines(SECOND.configuration(CONFIG), "bind")[1] == "bind 10.0.0.2:9997"
    everywhere = CONFIG.replace("bind 10.0.0.1:", "bind *:")
    assert lines(SECOND.configuration(everywhere), "bind")[1] == "bind *:9997"


def test_nodes_on_one_machine_share_no_port() -> None:
    config = CONFIG.replace("10.0.0.1", "127.0.0.1")
    head = lines(IngressNode("127.0.0.2", is_head=True).configuration(config), "bind")
    other = lines(IngressNode("127.0.0.3", is_head=False).configuration(config), "bind")
    assert head == ["bind 127.0.0.2:9101", "bind 127.0.0.1:9997,127.0.0.2:9997", "bind 127.0.0.2:8404"]
    assert other == ["bind 127.0.0.3:9101", "bind 127.0.0.3:9997", "bind 127.0.0.3:8404"]


@pytest.mark.parametrize("node", [HEAD, IngressNode("127.0.0.2", is_head=False)], ids=["head", "loopback"])
def test_supervisors_of_other_nodes_are_for_emergencies(node: IngressNode) -> None:
    assert lines(node.configuration(CONFIG), "server") == [
        f"server here {node.address}:30000 check",
        "server there 10.0.0.2:30000 check backup",
        "server proxy 10.0.0.1:8500 check backup",
    ]


def test_configuration_is_mended_once() -> None:
    mended = SECOND.configuration(CONFIG)
    assert SECOND.configuration(mended) == mended


def test_what_serve_writes_today_is_understood() -> None:
    """If Serve's template changes its form, every HAProxy would listen at the head's address."""
    from ray.serve._private.haproxy_templates import HAPROXY_CONFIG_TEMPLATE as TEMPLATE

    written = TEMPLATE.replace("{{ config.frontend_host }}:{{ config.frontend_port }}", "10.0.0.1:9997")
    assert "bind 10.0.0.2:9997\n" in SECOND.configuration(written)
    server = "server {{ server.name }} {{ server.host }}:{{ server.port }} check"
    assert server in TEMPLATE


def test_files_at_the_path_of_the_head_are_the_nodes_own_and_go_with_it(tmp_path: Path) -> None:
    own, elsewhere, neighbour = (tmp_path / name for name in ("own", "head/node-1", "head/node-2"))
    for folder in (own, elsewhere, neighbour):
        folder.mkdir(parents=True, mode=0o755)
    for _ in range(2):
        keep_to_owner(elsewhere, own)
    assert elsewhere.stat().st_mode & 0o777 == 0o700
    remove_elsewhere(own)
    assert not elsewhere.exists()
    assert neighbour.exists()
    keep_to_owner(neighbour, own)
    remove_elsewhere(own)
    assert not neighbour.parent.exists()


def test_files_of_the_head_are_below_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "node"
    folder.mkdir()
    keep_to_owner(folder, tmp_path)
    remove_elsewhere(tmp_path)
    assert folder.exists()
