"""The process that downloads a model's files; it says how far it is, one JSON object a line, on
standard output.

Run as ``python -m worker.download.process SOURCE`` (``Source.to_json``). The lines are
``{"progress": {...}}``, which holds the fields of ``DownloadState``, and at last ``{"done": true}``
or ``{"error": "a sentence"}``. It ends with its parent, and on SIGTERM at once, leaving no half a
file.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path
from typing import Any

from worker.download.cache import remove_own_partials, remove_unchanged
from worker.download.files import INDEX
from worker.download.layout import Part, layout
from worker.download.source import Source
from xinfer.messages import DownloadState
from xinfer.process_lifetime import die_with_parent

_PERIOD_S = 0.2
_FILES_AT_ONCE = 8
# huggingface_hub writes 10 MiB at a time, which on a slow line looks like standing still.
_CHUNK_BYTES = 256 * 1024


class Rate:
    """Bytes per second over the last few seconds, steady enough to be read by people."""

    def __init__(self, window_s: float = 5.0) -> None:
        self._window_s = window_s
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, at_s: float, bytes_done: int) -> float:
        """Record that ``bytes_done`` were done at ``at_s``; returns the rate, never negative."""
        self._samples.append((at_s, bytes_done))

        # The oldest sample lies just outside of the window, so that the window is always covered.
        while len(self._samples) > 2 and at_s - self._samples[1][0] >= self._window_s:
            self._samples.popleft()

        first_at_s, first_bytes = self._samples[0]
        if at_s <= first_at_s:
            return 0.0
        # A file that begins anew takes back what was done.
        return max(0.0, (bytes_done - first_bytes) / (at_s - first_at_s))


class Download:
    """The files of one source, at one commit."""

    def __init__(self, source: Source, commit: str, parts: list[Part]) -> None:
        self._source = source
        self._commit = commit
        self._parts = parts
        # Found before anything is downloaded: what is orphaned now is not part of this download.
        self._orphans: dict[Path, int] = {}
        for part in parts:
            self._orphans.update(part.snapshot.orphans())
        self._rate = Rate()

    @classmethod
    def plan(cls, source: Source) -> Download | None:
        """Ask the hub which files there are.

        None if it cannot be reached but a snapshot is here: then that is what there is.
        """
        from huggingface_hub import snapshot_download

        folder = Path(snapshot_download(source.repo, revision=source.revision, allow_patterns=[INDEX, "config.json"]))
        # CACHE/models--OWNER--NAME/snapshots/COMMIT.
        cache = folder.parents[2]
        commit = folder.name
        parts = layout(source, cache, commit)
        if parts:
            return cls(source, commit, parts)
        return None

    def run(self) -> Iterator[DownloadState]:
        """Download what is not there, telling how far it is.

        The first error passes through while other files are under way.
        """
        yield self._state()
        pool = ThreadPoolExecutor(_FILES_AT_ONCE)
        waiting: set[Future[None]] = set()
        for part in self._parts:
            waiting.update(pool.submit(self._fetch, part.cache, name) for name in part.files)

        while waiting:
            ended, waiting = wait(waiting, _PERIOD_S, FIRST_EXCEPTION)
            _raise_first(ended)
            yield self._state()
        remove_unchanged(self._orphans)

    def _fetch(self, cache: Path, name: str) -> None:
        from huggingface_hub import hf_hub_download

        hf_hub_download(self._source.repo, name, revision=self._commit, cache_dir=cache)

    def _state(self) -> DownloadState:
        sizes: list[int] = []
        here: list[int] = []
        for part in self._parts:
            sizes += [file.size for file in part.files.values()]
            here += part.snapshot.bytes_here(part.files, self._orphans)

        return DownloadState(
            bytes_done=sum(here),
            bytes_total=sum(sizes),
            bytes_per_s=round(self._rate.add(time.monotonic(), sum(here)), 1),
            files_done=sum(one == size for one, size in zip(here, sizes, strict=True)),
            files_total=len(sizes),
        )


def _raise_first(ended: set[Future[None]]) -> None:
    for future in ended:
        future.result()


def _say(**line: Any) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _end(code: int) -> None:
    """End now: threads that still download are not waited for."""
    remove_own_partials()
    os._exit(code)


def main() -> None:
    """Download the source that the command line names."""
    die_with_parent()
    signal.signal(signal.SIGTERM, lambda *_: _end(128 + signal.SIGTERM))
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    source = Source.from_json(sys.argv[1])

    from huggingface_hub import constants

    from worker.download.sentences import sentence

    constants.DOWNLOAD_CHUNK_SIZE = _CHUNK_BYTES
    try:
        download = Download.plan(source)
        if download:
            for state in download.run():
                _say(progress=asdict(state))
    except Exception as error:  # noqa: BLE001  # the worker hears of each, in one line
        _say(error=sentence(error, source))
        _end(1)
    _say(done=True)


if __name__ == "__main__":
    main()
