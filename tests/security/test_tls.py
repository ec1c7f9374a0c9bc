"""TLS at HAProxy: the binary that Serve runs, with the lines that xinfer adds, and a certificate that changes."""

from __future__ import annotations

import http.server
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from supervisor.api.xinfer_metrics import ClusterFacts, XinferMetrics
from tests.security.certificates import certificate
from tests.shell import Shell
from tests.waiting import wait_for
from xinfer.cli.own_session import own_session
from xinfer.cluster import tls
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.cluster_secret import operator_key
from xinfer.cluster.haproxy import binary, with_client_address, with_tls
from xinfer.cluster.options import StartOptions
from xinfer.cluster.ports import free_port

CONFIG = """\
global
    stats socket {admin} mode 600 level admin
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 5s
frontend http_frontend
    bind 127.0.0.1:{port}
    default_backend supervisors
backend supervisors
    server a 127.0.0.1:{backend}
"""


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with the client's address as HAProxy tells it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.headers["x-xinfer-client"].encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[tuple[int, tls.CertificateWatch, Path]]:
    """A real HAProxy with TLS in front of a server; its port, the watch over its certificate, and the folder of that."""
    cert, key = certificate(tmp_path, "first.example")
    pem = tls.write_pem(tmp_path, cert, key)
    assert pem.stat().st_mode & 0o777 == 0o600
    backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=backend.serve_forever, daemon=True).start()
    port, admin = free_port("127.0.0.1"), tmp_path / "admin.sock"
    text = CONFIG.format(admin=admin, port=port, backend=backend.server_address[1])
    file = tmp_path / "haproxy.cfg"
    file.write_text(with_client_address(with_tls(text, str(pem))))
    process = subprocess.Popen([str(binary()), "-db", "-f", str(file)], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: _accepts(port), 20, "HAProxy")
        yield port, tls.CertificateWatch(str(admin), tmp_path, cert, key), tmp_path
    finally:
        process.kill()
        process.wait()
        backend.shutdown()
        backend.server_close()


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def connect(port: int, version: ssl.TLSVersion | None = None) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version:
        context.minimum_version = context.maximum_version = version
        # Else this side would refuse an old version itself.
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=5))


def ask(connection: ssl.SSLSocket) -> bytes:
    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nx-xinfer-client: 6.6.6.6\r\n\r\n")
    answer = b""
    while b"127.0.0.1" not in answer:
        piece = connection.recv(4096)
        assert piece, answer
        answer += piece
    return answer


def test_it_speaks_tls_of_today_only(proxy: tuple[int, tls.CertificateWatch, Path]) -> None:
    port, _, _ = proxy
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with connect(port, version) as connection:
            assert b"200 OK" in ask(connection)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"), pytest.raises(OSError, match="PROTOCOL_VERSION"):
        connect(port, ssl.TLSVersion.TLSv1_1).close()
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(f"http://127.0.0.1:{port}/", timeout=5)


def test_a_new_certificate_is_used_and_open_connections_stay(proxy: tuple[int, tls.CertificateWatch, Path]) -> None:
    port, watch, folder = proxy
    assert not watch.look()
    with connect(port) as before:
        first = before.getpeercert(binary_form=True)
        ask(before)
        # Half of a change, as an editor leaves it, is no certificate: the old one stays in use.
        (folder / "cert.pem").write_text("-----BEGIN CERTIFICATE-----\n")
        assert not watch.look()
        certificate(folder, "second.example")
        assert watch.look()
        assert not watch.look()
        assert b"200 OK" in ask(before)
    with connect(port) as after:
        assert after.getpeercert(binary_form=True) != first
        assert b"200 OK" in ask(after)


def test_this_machine_knows_its_own_certificate_and_no_other(
    proxy: tuple[int, tls.CertificateWatch, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, _, folder = proxy
    monkeypatch.setenv("XINFER_HOME", str(folder))
    endpoint = f"https://127.0.0.1:{port}"
    assert own_session(endpoint) is None
    ClusterRecord("id", endpoint, "x", 0.0, requires_keys=True).save(folder)
    tls.open_own(f"{endpoint}/", folder, timeout_s=5)
    session = own_session(endpoint)
    assert session
    with session:
        assert session.get(f"{endpoint}/", timeout=5).text == "127.0.0.1"
    other = folder / "other"
    other.mkdir()
    tls.write_pem(folder, *certificate(other, "evil.example"))
    stranger = own_session(endpoint)
    assert stranger
    with stranger, pytest.raises(requests.exceptions.SSLError):
        stranger.get(f"{endpoint}/", timeout=5)
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        tls.open_own(f"{endpoint}/", folder, timeout_s=5)


def test_options(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "x.example")
    assert StartOptions(tls_cert=cert, tls_key=key).endpoint == "https://127.0.0.1:9997"
    both = tls.write_pem(tmp_path, cert, key)
    assert StartOptions(tls_cert=str(both)).tls_cert == str(both)
    other = tmp_path / "other"
    other.mkdir()
    for wrong in ({"tls_cert": cert}, {"tls_key": key}, {"tls_cert": "/nowhere", "tls_key": key}):
        with pytest.raises(ValueError, match="tls_"):
            StartOptions(**wrong)
    with pytest.raises(ValueError, match="tls_cert"):
        StartOptions(tls_cert=cert, tls_key=certificate(other, "y.example")[1])


def test_when_a_certificate_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = tls.write_pem(tmp_path, *certificate(tmp_path, "x.example"))
    ends_at = tls.ends_at(both)
    assert ends_at is not None
    assert abs(ends_at - time.time() - 2 * 86400) < 60
    monkeypatch.setenv(tls.PEM, str(both))
    assert tls.own_certificate_ends_at() == ends_at
    facts = ClusterFacts({}, None, 1, 1, ends_at)
    shown = {metric.name: metric.samples for metric in XinferMetrics(facts, {}).collect()}
    assert shown["xinfer_certificate_expiry_timestamp_seconds"][0].value == ends_at

    both.write_text("none")
    assert tls.own_certificate_ends_at() is None
    monkeypatch.delenv(tls.PEM)
    assert tls.own_certificate_ends_at() is None


def test_the_line_is_in_what_serve_writes() -> None:
    from ray.serve._private.haproxy_templates import HAPROXY_CONFIG_TEMPLATE as TEMPLATE

    filled = TEMPLATE.replace("{{ config.frontend_host }}:{{ config.frontend_port }}", "0.0.0.0:9997")
    changed = with_client_address(with_tls(filled, "/x/tls.pem"))
    assert "    bind 0.0.0.0:9997 ssl crt /x/tls.pem ssl-min-ver TLSv1.2 alpn http/1.1\n" in changed
    assert changed.count("ssl crt") == 1
    assert with_tls(filled, None) == filled


@pytest.mark.soak  # a cluster of its own, for what the tests above show of HAProxy alone
@pytest.mark.engine
def test_a_cluster_with_tls(tmp_path: Path) -> None:
    """Commands on its machine need neither a key nor a name in the certificate, and a new certificate comes by itself."""
    home = Path(tempfile.mkdtemp(prefix="xi-", dir="/tmp"))
    cert, key = certificate(tmp_path, "first.example")
    port, ray_port = free_port("127.0.0.1"), free_port("127.0.0.1")
    shell = Shell(home, port)
    try:
        ports = ("--port", str(port), "--ray-port", str(ray_port))
        started = shell(
            "start", "--host", "0.0.0.0", *ports, "--tls-cert", cert, "--tls-key", key, "--launch", "tiny-chat"
        )
        assert started.returncode == 0, started.stderr
        assert f"ready at https://127.0.0.1:{port}" in started.stdout
        assert "unencrypted" not in started.stderr
        assert "tiny-chat" in shell("status").stdout
        headers = {"authorization": f"Bearer {operator_key(home)}"}
        url = f"https://127.0.0.1:{port}/metrics"
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(request, context=tls.own_context(home), timeout=10) as response:
            page = response.read().decode()
        assert "\nxinfer_certificate_expiry_timestamp_seconds " in page
        answer = shell("chat", "tiny-chat", "Hello", "--endpoint", f"https://127.0.0.1:{port}")
        assert answer.returncode == 0, answer.stderr
        with connect(port) as before:
            first = before.getpeercert(binary_form=True)
            certificate(tmp_path, "second.example")
            wait_for(lambda: _certificate_at(port) != first, 30, "the new certificate")
            before.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200" in before.recv(4096)
        stopped = shell("stop", "--drain-timeout", "0")
        assert stopped.returncode == 0, stopped.stderr
    finally:
        shell("stop", "--drain-timeout", "0")
        shutil.rmtree(home, ignore_errors=True)


def _certificate_at(port: int) -> bytes | None:
    with connect(port) as connection:
        return connection.getpeercert(binary_form=True)
