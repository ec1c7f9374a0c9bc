"""What a command brings in before it does anything."""

from __future__ import annotations

import subprocess
import sys


def help_of(*words: str) -> tuple[str, set[str]]:
    """The text of ``xinfer WORDS --help``, and the packages that are imported once it is printed."""
    script = (
        "import sys\nfrom xinfer.cli import xinfer\n"
        f"xinfer({[*words, '--help']!r}, standalone_mode=False)\n"
        "print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return done.stdout, set(done.stderr.split())
