"""What Ray's processes import ahead, so that a process started ahead of its replica has the replica's modules already."""

from __future__ import annotations

import os

PRELOAD_VARIABLE = "RAY_preload_python_modules"
"""Ray's setting ``preload_python_modules``, as an environment variable."""
# The last one Ray imports when it first reads an argument.
PRELOADED_MODULES = "ray.serve._private.replica,worker.replica,pydantic.v1"


def wanted() -> bool:
    """Whether this process belongs to a cluster that starts worker processes ahead."""
    return os.environ.get(PRELOAD_VARIABLE) == PRELOADED_MODULES
