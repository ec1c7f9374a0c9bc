"""Stops the node of this machine from outside of it, for somebody who runs inside: ``python -m xinfer.cluster.stopping SECONDS``.

The process that is asked to stop a cluster belongs to it. So it starts this one, which leaves at once for a session of its
own without the cluster's mark, waits until the answer is out, and does what ``xinfer stop`` does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from xinfer import settings
from xinfer.cluster.environment import MARK
from xinfer.cluster.lifecycle import NodeLifecycle


def stop_soon(after_s: float) -> None:
    """Have this machine's node stopped in so many seconds; returns at once."""
    env = {name: value for name, value in os.environ.items() if name != MARK}
    argv = [sys.executable, "-m", __spec__.name, str(after_s)]
    subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main() -> None:
    """Leave the caller behind, wait, stop."""
    if os.fork():
        # nobody's child from here on: the end of a parent is not to end this.
        return
    os.setsid()
    time.sleep(float(sys.argv[1]))
    NodeLifecycle(settings.home()).stop()


if __name__ == "__main__":
    main()
