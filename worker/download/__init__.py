"""A hub model's files, brought into the cache before its engine starts, so that a launch shows how
far it is.
"""

from worker.download.download import fetch, needs_download
from worker.download.source import Source

__all__ = ["Source", "fetch", "needs_download"]
