"""The process that brings up xinfer's parts on a head's Ray, as whoever starts the node sees it."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from xinfer.cluster.options import BootOptions
from xinfer.engine_log import tail
from xinfer.errors import LaunchFailed

_BOOT = "supervisor.boot"
_TIMEOUT_S = 180.0
_LOG_LINES = 15


class BootProcess:
    """``supervisor.boot``, from its start, beside Ray's, until it has ended or is ended."""

    def __init__(self, options: BootOptions, env: Mapping[str, str], log: Path) -> None:
        self._log = log
        self.admin_key: str | None = None
        """The text of the first admin key, once it has been made; this pipe is the only way that it takes."""
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", _BOOT, options.dump()],
                env=dict(env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                bufsize=0,  # so that what select sees is all there is
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind and self._process.poll() is None:
            self._process.kill()
        with self._process:
            pass

    def steps(self, is_ray_alive: Callable[[], bool]) -> Iterator[str]:
        """Have it begin, now that Ray is up; what it says it is doing, until it is done.

        ``LaunchFailed`` if it fails, takes too long, or loses Ray.
        """
        assert self._process.stdin
        assert self._process.stdout
        # One that has ended already has said why in its log.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(b"\n")
        deadline = time.monotonic() + _TIMEOUT_S
        while True:
            if select.select([self._process.stdout], [], [], 1.0)[0]:
                line = self._process.stdout.readline()
                if not line:
                    break
                if line.startswith(b'{"admin_key"'):
                    self.admin_key = json.loads(line)["admin_key"]
                if line.startswith(b'{"step"'):
                    yield json.loads(line)["step"]
            elif time.monotonic() > deadline or not is_ray_alive():
                raise LaunchFailed(
                    f"Ray went away, or did not answer within {_TIMEOUT_S:g} s, while the cluster came up."
                )
        if self._process.wait() != 0:
            last_lines = "\n".join(tail(self._log)[-_LOG_LINES:])
            raise LaunchFailed(f"The cluster did not come up. The end of {self._log}:\n{last_lines}")
