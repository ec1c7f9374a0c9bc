"""The logger ``xinfer``, above all loggers of xinfer, in the processes that Ray starts."""

from __future__ import annotations

import logging
import os

VARIABLE = "XINFER_LOG_LEVEL"
"""Environment variable: the level of xinfer's loggers, such as ``DEBUG``; ``INFO`` if it is not set or no level."""


def log_level() -> int:
    """The level that the environment names."""
    named = logging.getLevelNamesMapping()
    return named.get(os.environ.get(VARIABLE, "").upper(), logging.INFO)


def attach_to_serve() -> None:
    """Send the records of xinfer's loggers to the handlers that Serve has set up for its replica. Calling it again is fine."""
    logger = logging.getLogger("xinfer")
    logger.setLevel(log_level())
    handlers = logging.getLogger("ray.serve").handlers
    for handler in handlers:
        if handler not in logger.handlers:
            logger.addHandler(handler)

    # The root logger of a Ray process prints to the same files: each record would be there twice.
    logger.propagate = not handlers
