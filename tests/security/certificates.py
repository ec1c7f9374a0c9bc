"""Certificates for tests."""

from __future__ import annotations

import subprocess
from pathlib import Path


def certificate(folder: Path, name: str) -> tuple[str, str]:
    """A self-signed certificate for ``name``, a host's or an address, and its key."""
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    kind = "IP" if name[-1].isdigit() else "DNS"
    options = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-subj",
        f"/CN={name}",
        "-addext",
        f"subjectAltName={kind}:{name}",
    ]
    subprocess.run(["openssl", "req", "-x509", *options, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key
