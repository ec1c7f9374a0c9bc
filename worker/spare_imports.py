"""What every Ray process of a node imports as it starts: in a spare process the modules of a replica, elsewhere nothing."""

from __future__ import annotations

from xinfer.cluster import prestart
from xinfer.settings import home

if prestart.is_announced(home()):
    # The first one Ray imports itself, when it first reads an argument.
    import pydantic.v1  # noqa: F401
    import ray.serve._private.replica  # noqa: F401

    import worker.replica  # noqa: F401
