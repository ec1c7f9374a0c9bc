"""Has vLLM look for plugins among all installed packages once, in the process that engines are forked from.

The server and the core of an engine each look several times, at 20 ms each on two cores. What is installed later is seen by the
next process that imports vLLM, as it is with everything that is imported.
"""

from __future__ import annotations

import functools
import importlib.metadata
from typing import Any


def remember_entry_points() -> None:
    """Look now, and answer from memory from now on."""
    look: Any = importlib.metadata.entry_points
    everything = look()

    @functools.wraps(look)
    def select(**wanted: Any) -> Any:
        if not wanted:
            return everything
        return everything.select(**wanted)

    importlib.metadata.entry_points = select
