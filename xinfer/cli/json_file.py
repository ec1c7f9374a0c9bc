"""Writes results as JSON, to stdout or to a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xinfer.bench.arguments import STDOUT
from xinfer.cli.options import print_json


def write_json(facts: dict[str, Any], file: Path) -> None:
    """Print ``facts`` in one line if ``file`` stands for stdout, else write them to the file."""
    if file == STDOUT:
        print_json(facts)
    else:
        file.write_text(json.dumps(facts, indent=1) + "\n")
