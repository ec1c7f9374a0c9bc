"""Why a download failed, in the hub's own words but in one line."""

from __future__ import annotations

import re

import httpx2
from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from worker.download.source import Source

_ASIDE = re.compile(r"\s*\(Request ID: [^)]*\)|\s*For more information check: \S+")
_LONGEST = 600


def sentence(error: BaseException, source: Source) -> str:
    """What ``error`` comes down to for whoever launched ``source``."""
    if isinstance(error, LocalEntryNotFoundError) and error.__cause__:
        # It only says that the file is not in the cache either.
        error = error.__cause__
    words = _ASIDE.sub("", " ".join(str(error).split()))[:_LONGEST]
    match error:
        case GatedRepoError():
            return f"{source.repo} is a gated repo: {words}"
        case RepositoryNotFoundError():
            known = words.partition(" Please make sure")[0]
            return f"{known} Check the model's id; if it is private, launch it with --env HF_TOKEN <token>."
        case RevisionNotFoundError():
            return f"{source.repo} has no revision {source.revision}: {words}"
        case OfflineModeIsEnabled() | httpx2.TransportError():
            return f"The download couldn't connect to {constants.ENDPOINT}: {type(error).__name__}: {words}"
        case _ if "No space left on device" in words:  # Xet's client has no errno
            folder = source.download_dir or constants.HF_HUB_CACHE
            return f"The disk of {folder} is full: {words}. Free some, or take another with --env HF_HOME <folder>."
    return f"{type(error).__name__}: {words}"
