"""One node's processes: ``python -m xinfer.cluster.node_process [--warm-host] [--rejoin] COMMAND...``, where COMMAND is Ray's.

Runs Ray and, beside it, the warm host, which is started again whenever it dies. Ends when Ray does, and then the host ends with
it. SIGHUP has it start Ray anew: a node that was drained takes replicas again only as a new one. With ``--rejoin`` it does so by
itself when Ray has ended without being told to, as it does where the head has not heard of it for long; SIGUSR1 tells it that the
node has joined. Knows nothing of either: it starts no thread, imports neither Ray nor an engine, and so costs next to nothing.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from xinfer.cluster.fork_server import MODULE
from xinfer.process_lifetime import PARENT_VARIABLE, adopt_orphans

WARM_HOST = "--warm-host"
REJOIN = "--rejoin"
BROKEN = 3
"""Exit code of a host that cannot be warmed here, so that trying again is no use."""
_log = logging.getLogger("xinfer.node")
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
_STEADY_S = 30.0
_POLL_PERIOD_S = 0.2
_RAY_ENDS_S = 10.0
_JOINED_S = 60.0
_REJOIN_PAUSE_S = 5.0
_REJOIN_GIVEN_UP_S = 600.0


class ForkServerWatchdog:
    """Keeps one warm host alive. ``look`` is called again and again."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = list(argv)
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0.0
        self._pause_s = _FIRST_PAUSE_S
        self._not_before = 0.0
        self._given_up = False

    def look(self, now: float) -> None:
        """Start the host if it is not there and its time has come."""
        if self._process and self._process.poll() is not None:
            self._ended(self._process.returncode, now)
        if self._process is None and not self._given_up and now >= self._not_before:
            self._began = now
            env = {**os.environ, PARENT_VARIABLE: str(os.getpid())}
            self._process = subprocess.Popen(self._argv, env=env, stdin=subprocess.DEVNULL)

    @property
    def pid(self) -> int | None:
        """The host's process, None while there is none."""
        if self._process:
            return self._process.pid
        return None

    def stop(self) -> None:
        self._given_up = True
        if self._process and self._process.poll() is None:
            # It holds nothing that has to be put away.
            self._process.kill()
            self._process.wait()

    def _ended(self, code: int, now: float) -> None:
        self._process = None
        if code == BROKEN:
            self._given_up = True
            _log.warning("the warm host cannot be used here; launches start their engines themselves")
            return
        if now - self._began > _STEADY_S:
            self._pause_s = _FIRST_PAUSE_S
        _log.warning("the warm host ended with exit code %d; another follows in %g s", code, self._pause_s)
        self._not_before = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)


def _collect_orphans(own: set[int | None]) -> None:
    """Take note of the end of processes that were adopted; those in ``own`` have somebody who waits for them."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in own:
            return
        os.waitpid(ended.si_pid, 0)


class Rejoining:
    """When a node that Ray has given up joins again. Times are seconds of any clock that does not go back."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._has_joined = False
        self._gives_up_at: float | None = None

    def joined(self) -> None:
        """The node has been taken."""
        self._has_joined = True

    def starts(self, now: float) -> None:
        """Ray begins once more."""
        self._began = now
        self._has_joined = False

    def next_start(self, now: float) -> float | None:
        """Ray has ended; None if it is not to start again.

        One that has not joined is not tried again; nobody says so of later starts, where it shows in how long they last. One
        that has is tried for ten minutes.
        """
        if self._has_joined or now - self._began > _JOINED_S:
            self._gives_up_at = now + _REJOIN_GIVEN_UP_S
        if self._gives_up_at is None or now > self._gives_up_at:
            return None
        return now + _REJOIN_PAUSE_S


class RayProcess:
    """Ray's own command, which ends when the node does."""

    def __init__(self, argv: Sequence[str], rejoining: Rejoining | None = None) -> None:
        self._argv = argv
        self._process = self._start()
        self._rejoining = rejoining
        self._starts_at: float | None = None
        self._again = False
        self._kill_at = 0.0
        self.exit_code: int | None = None
        """None while it runs."""

    @property
    def pid(self) -> int:
        return self._process.pid

    def terminate(self) -> None:
        self._again = False
        self._rejoining = None
        self._process.terminate()

    def start_anew(self) -> None:
        """End it and start it again; ``look`` does the second."""
        self._again = True
        self._kill_at = time.monotonic() + _RAY_ENDS_S
        self._process.terminate()

    def look(self, now: float) -> None:
        """Take note of its end, which after ``start_anew`` is not the last one."""
        code = self._process.poll()
        if code is None:
            if self._again and now > self._kill_at:
                self._process.kill()
        elif self._again:
            self._again = False
            _log.warning("Ray is started anew")
            self._process = self._start()
        elif self._rejoining is None:
            self.exit_code = code
        else:
            self._rejoin(self._rejoining, code, now)

    def _rejoin(self, rejoining: Rejoining, code: int, now: float) -> None:
        if self._starts_at is None:
            self._starts_at = rejoining.next_start(now)
            if self._starts_at is None:
                self.exit_code = code
            else:
                _log.warning("Ray has ended with exit code %d; this node joins again", code)
        elif now >= self._starts_at:
            self._starts_at = None
            rejoining.starts(now)
            self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._argv, stdin=subprocess.DEVNULL)


def main(words: Sequence[str]) -> int:
    """Run the node until Ray ends; its exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    warm = WARM_HOST in words[:2]
    rejoins = REJOIN in words[:2]
    command = words[warm + rejoins :]
    # An engine outlives the host that forked it, and its end is collected here.
    adopt_orphans()
    rejoining = Rejoining(time.monotonic()) if rejoins else None
    ray = RayProcess(command, rejoining)
    watchdog = ForkServerWatchdog([sys.executable, "-m", MODULE]) if warm else None
    signal.signal(signal.SIGTERM, lambda *_: ray.terminate())
    signal.signal(signal.SIGHUP, lambda *_: ray.start_anew())
    if rejoining:
        signal.signal(signal.SIGUSR1, lambda *_: rejoining.joined())
    try:
        while ray.exit_code is None:
            ray.look(time.monotonic())
            if watchdog:
                watchdog.look(time.monotonic())
            _collect_orphans({ray.pid, watchdog.pid if watchdog else None})
            time.sleep(_POLL_PERIOD_S)
    finally:
        if watchdog:
            watchdog.stop()
    return ray.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
