"""HAProxy's configuration, which Serve writes and xinfer corrects."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from xinfer.cluster import haproxy, haproxy_guard

CONFIG = """\
frontend prometheus
    bind :9101
    mode http
listen stats
  bind *:8404
  stats enable
frontend http_frontend
    bind 127.0.0.1:9997
    # bind :1 is a comment
    server a 127.0.0.1:30000 check
    bind [::1]:80
    http-response set-header x "bind :5"
"""


def test_addresses_without_a_host_go_to_loopback() -> None:
    expected = CONFIG.replace("bind :9101", "bind 127.0.0.1:9101").replace("bind *:8404", "bind 127.0.0.1:8404")
    assert haproxy.on_loopback(CONFIG) == expected
    assert haproxy.on_loopback(expected) == expected


def test_api_for_everybody_stays_so() -> None:
    """Serve writes a star for 0.0.0.0."""
    everywhere = CONFIG.replace("bind 127.0.0.1:9997", "bind *:9997")
    assert "frontend http_frontend\n    bind *:9997\n" in haproxy.on_loopback(everywhere)


def test_node_without_a_supervisor_is_not_ready() -> None:
    """A 404 would say that there is no such model or route."""
    from ray.serve._private.haproxy_templates import HAPROXY_CONFIG_TEMPLATE as TEMPLATE

    (line,) = [each for each in TEMPLATE.splitlines() if "return status 404" in each]
    early = f"backend default_backend\n{line}\n"
    assert "status 503" in haproxy.without_false_alarm(early)
    assert "404" not in haproxy.without_false_alarm(early)
    later = f"    use_backend http-xinfer if is_http-xinfer\n{early}"
    assert haproxy.without_false_alarm(later) == later


def test_servers_are_where_the_front_end_is() -> None:
    assert haproxy.with_servers_where_they_listen(CONFIG) == CONFIG
    for address in ("127.0.0.2", "10.0.0.1"):
        other = CONFIG.replace("bind 127.0.0.1:9997", f"bind {address}:9997")
        expected = other.replace("server a 127.0.0.1:30000", f"server a {address}:30000")
        assert haproxy.with_servers_where_they_listen(other) == expected
    everywhere = CONFIG.replace("bind 127.0.0.1:9997", "bind 0.0.0.0:9997")
    assert haproxy.with_servers_where_they_listen(everywhere) == everywhere


def test_configuration_that_serve_writes_today() -> None:
    """If Serve's template changes its form, the statistics would be on every interface."""
    from ray.serve._private import haproxy_templates

    texts = [value for value in vars(haproxy_templates).values() if isinstance(value, str) and "bind" in value]
    assert texts
    for text in texts:
        filled = text.replace("{{ config.metrics_port }}", "9101").replace("{{ config.stats_port }}", "8404")
        left = [
            line for line in haproxy.on_loopback(filled).splitlines() if line.strip().startswith(("bind :", "bind *:"))
        ]
        assert left == []


def test_clients_that_leave_are_seen() -> None:
    """The line is in what Serve writes today, and nothing else goes with it."""
    from ray.serve._private.haproxy_templates import HAPROXY_CONFIG_TEMPLATE as TEMPLATE

    left = haproxy.without_request_splicing(TEMPLATE)
    assert left == TEMPLATE.replace("    option splice-request\n", "")
    assert len(left) < len(TEMPLATE)


def test_the_file_is_corrected_and_haproxy_run_with_the_same_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "haproxy.cfg"
    file.write_text(CONFIG)
    ran: list[tuple[object, list[str]]] = []
    guarded: list[tuple[object, ...]] = []
    monkeypatch.setattr(haproxy_guard, "start", lambda *arguments: guarded.append(arguments))
    monkeypatch.setattr(haproxy, "die_with_parent", lambda: None)
    monkeypatch.setattr(haproxy, "use_batch_scheduling", lambda: None)
    monkeypatch.setattr(os, "execv", lambda path, argv: ran.append((path, argv)))
    monkeypatch.setattr(sys, "argv", ["haproxy", "-db", "-f", str(file), "-x", "sock"])
    haproxy.main()
    assert "127.0.0.1:9101" in file.read_text()
    assert guarded == [(os.getpid(), os.getppid(), haproxy.binary(), file)]
    assert ran == [(haproxy.binary(), [str(haproxy.binary()), "-db", "-f", str(file), "-x", "sock"])]


def test_the_binary_is_there() -> None:
    done = subprocess.run([haproxy.binary(), "-v"], capture_output=True, text=True, timeout=10)
    assert done.stdout.startswith("HAProxy version")
