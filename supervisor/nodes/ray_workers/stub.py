"""What Ray runs in the place of its worker's script: has the fork server fork the worker, or becomes it if that fails.

Run as ``python -I -S stub.py``, with the script's own arguments. It imports next to nothing, so that it costs next to nothing.
"""

import contextlib
import json
import os
import socket
import sys
from pathlib import Path

SOCKET = "XINFER_WORKER_FORK_SERVER"
"""Environment variable with the path of the fork server's socket."""
SCRIPT = "XINFER_WORKER_SCRIPT"
"""Environment variable with the path of Ray's script."""
FORKED = b"forked"
# The server may still be importing, for some seconds on a slow machine. Ray waits 60 s for a worker.
_TIMEOUT_S = 30.0
_NO_RUNTIME_ENV = "--runtime-env-hash=0"


def main() -> None:
    arguments = sys.argv[1:]
    # A runtime environment may hold variables that only a new process reads, PYTHONPATH for one.
    if _NO_RUNTIME_ENV in arguments and _is_forked(arguments):
        return
    os.execv(sys.executable, [sys.executable, os.environ[SCRIPT], *arguments])


def _is_forked(arguments: list[str]) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_TIMEOUT_S)
        connection.connect(os.environ[SOCKET])
        request = {
            "arguments": arguments,
            "env": dict(os.environ),
            "folder": str(Path.cwd()),
            "process_group": os.getpgrp(),
            "oom_score_adj": int(Path("/proc/self/oom_score_adj").read_text()),
        }
        payload = json.dumps(request).encode()
        # The descriptors go with what the kernel takes at once; the rest follows without them.
        sent = socket.send_fds(connection, [payload], [0, 1, 2])
        connection.sendall(payload[sent:])
        connection.shutdown(socket.SHUT_WR)
        return connection.recv(len(FORKED)) == FORKED
    return False


if __name__ == "__main__":
    main()
