"""TLS of the REST API: HAProxy's certificate, its change while HAProxy runs, and how this machine's commands know it again."""

from __future__ import annotations

import os
import socket
import ssl
import urllib.request
from pathlib import Path

PEM = "XINFER_TLS_PEM"
"""In the environment of HAProxy and its guard: the file with certificate and key that HAProxy reads."""
CERTIFICATE = "XINFER_TLS_CERT"
KEY = "XINFER_TLS_KEY"
"""The operator's files, of which that one is made."""
_ANSWER_S = 5.0


def check(certificate: str, key: str | None) -> None:
    """``ValueError`` unless HAProxy can serve with these files. Without ``key`` it is in the certificate's file."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        # ssl.SSLError is an OSError.
        raise ValueError(f"tls_cert={certificate}: no certificate with its key in PEM format ({error})") from None


def pem_file(home: Path) -> Path:
    return home / "run" / "tls.pem"


def write_pem(home: Path, certificate: str, key: str | None) -> Path:
    """Both files as one, readable by its owner alone; where it is."""
    file = pem_file(home)
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(_joined(certificate, key))
    draft.replace(file)
    return file


def ends_at(file: Path) -> float | None:
    """Unix time at which the first certificate in a file ends; None if there is none that can be read."""
    try:
        # What `ssl` decodes for others is the certificate of a connection, or those of authorities; of a file, this alone does.
        found = ssl._ssl._test_decode_cert(str(file))  # type: ignore[attr-defined]
        return ssl.cert_time_to_seconds(found["notAfter"])
    except (OSError, KeyError, ValueError):
        return None


def own_certificate_ends_at() -> float | None:
    """When the certificate ends that this node's HAProxy serves; None without TLS."""
    file = os.environ.get(PEM)
    return ends_at(Path(file)) if file else None


def own_context(home: Path) -> ssl.SSLContext:
    """For requests of this machine to its own cluster: that very certificate, whatever names are in it."""
    context = ssl.create_default_context(cafile=str(pem_file(home)))
    context.check_hostname = False
    # A certificate that somebody else has signed is trusted without that one's.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def open_own(request: urllib.request.Request | str, home: Path, timeout_s: float) -> None:
    """Send a request to the own cluster, past any proxy. Raises ``OSError``."""
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if pem_file(home).exists():
        handlers.append(urllib.request.HTTPSHandler(context=own_context(home)))
    with urllib.request.build_opener(*handlers).open(request, timeout=timeout_s):
        pass


class CertificateWatch:
    """Gives HAProxy the operator's certificate anew when its files have changed. Connections that are open stay as they are."""

    def __init__(self, admin_socket: str, home: Path, certificate: str, key: str | None) -> None:
        self._admin_socket = admin_socket
        self._home = home
        self._certificate = certificate
        self._key = key
        self._seen = self._times()

    def look(self) -> bool:
        """True if there was something new and HAProxy has taken it. What is no certificate yet is looked at again."""
        times = self._times()
        if times is None or times == self._seen:
            return False
        try:
            check(self._certificate, self._key)
            file = write_pem(self._home, self._certificate, self._key)
            lines = [line for line in file.read_text().splitlines() if line.strip()]
            payload = "\n".join(lines)
            answers = [self._say(f"set ssl cert {file} <<\n{payload}\n"), self._say(f"commit ssl cert {file}")]
        except (OSError, ValueError):
            return False
        self._seen = times
        return "Success" in answers[-1]

    def _times(self) -> tuple[int, ...] | None:
        try:
            return tuple(Path(file).stat().st_mtime_ns for file in (self._certificate, self._key) if file)
        except OSError:
            return None

    def _say(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_ANSWER_S)
            connection.connect(self._admin_socket)
            connection.sendall(f"{command}\n".encode())
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        return answer.decode(errors="replace")


def _joined(certificate: str, key: str | None) -> str:
    parts = [Path(certificate).read_text()]
    if key:
        parts.append(Path(key).read_text())
    return "\n".join(part.strip() for part in parts) + "\n"


def _no_password() -> str:
    raise ValueError("the key is encrypted")
