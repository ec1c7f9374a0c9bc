"""What the person at the terminal sees, and what the log keeps."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TextIO

from .errors import CommandFailed
from .watch import Watch

BEAT_S = 4.0
"""Between two lines of progress; a terminal's one line is refreshed four times as often."""
TAIL_LINES = 15


class Console:
    """Shows a line of progress while a command runs, and keeps everything that it writes in a log."""

    def __init__(self, log: Path, out: TextIO = sys.stdout) -> None:
        self.log, self.out = log, out
        self.live = out.isatty()

    def say(self, text: str) -> None:
        self.out.write(("\r\x1b[K" if self.live else "") + text + "\n")
        self.out.flush()

    def progress(self, text: str, elapsed_s: float) -> None:
        line = f"      {text} ({elapsed_s:.0f} s)"
        if not self.live:
            return self.say(line)
        self.out.write("\r\x1b[K" + line[:100])
        self.out.flush()
        return None

    def run(self, command: list[str], watch: Watch | None = None, env: dict[str, str] | None = None) -> str:
        """Runs a command to its end and gives back its output, which the log has too; raises CommandFailed."""
        lines: list[str] = []
        started = time.monotonic()
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", env=env,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            reader = threading.Thread(target=self._copy, args=(process.stdout, command, lines, watch), daemon=True)
            reader.start()
            try:
                while _runs(process, BEAT_S / 4 if self.live else BEAT_S):
                    self.progress(watch.line() if watch else "working", time.monotonic() - started)
            except BaseException:
                process.terminate()
                raise
            reader.join()
        if process.returncode:
            raise CommandFailed("".join(lines))
        return "".join(lines)

    def tail(self, output: str) -> None:
        """Shows the end of what a command wrote, and where the rest is."""
        lines = output.splitlines()[-TAIL_LINES:]
        self.say("\n".join(["      | " + line for line in lines] + [f"      all of it: {self.log}"]))

    def _copy(self, stream: TextIO, command: list[str], lines: list[str], watch: Watch | None) -> None:
        with self.log.open("a") as log:
            log.write("$ " + " ".join(command) + "\n")
            for line in stream:
                log.write(line)
                log.flush()
                lines.append(line)
                if watch:
                    watch.see(line)


def _runs(process: subprocess.Popen[str], wait_s: float) -> bool:
    """Whether the process still runs after `wait_s`; at once when it has ended."""
    try:
        process.wait(timeout=wait_s)
    except subprocess.TimeoutExpired:
        return True
    return False
