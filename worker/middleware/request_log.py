"""The line in the engine's log by which a request is found there: its id, and what it asks for. Nothing of its body."""

from __future__ import annotations

import logging
import sys

from starlette.types import Scope

from xinfer.logs import log_level
from xinfer.request_log import is_logged, logged_share
from xinfer.wire.paths import LOG_ID

_HEADER = LOG_ID.encode()
_log = logging.getLogger("xinfer.engine")


class RequestLog:
    """Writes to the process's output, which is the engine's log, when a request arrives: also of one that the engine dies of."""

    def __init__(self) -> None:
        self._share = logged_share()
        if not _log.handlers:
            handler = logging.StreamHandler(sys.stdout)
            handler.setFormatter(logging.Formatter("%(levelname)s %(asctime)s [xinfer] %(message)s", "%m-%d %H:%M:%S"))
            _log.addHandler(handler)
            _log.setLevel(log_level())
            _log.propagate = False

    def note(self, scope: Scope) -> None:
        """A request has come; without an id it is none of the gateway's."""
        for name, value in scope["headers"]:
            if name == _HEADER:
                request_id = value.decode("latin-1")
                if is_logged(request_id, self._share):
                    _log.info("request %s: %s", request_id, scope["path"])
                return
