"""Which files of a source go where: the one answer that the worker's look at the disk and the
download share.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from worker.download.cache import RemoteFile, Snapshot
from worker.download.files import INDEX, small_files, weight_files
from worker.download.source import Source
from xinfer.catalog.model_files import indexed_files


@dataclass(frozen=True, slots=True)
class Part:
    """The files that belong into one cache."""

    cache: Path
    snapshot: Snapshot
    files: dict[str, RemoteFile]

    @property
    def is_here(self) -> bool:
        """Whether the cache has all of them."""
        return all(self.snapshot.has(name) for name in self.files)


def layout(source: Source, cache: Path, commit: str) -> list[Part] | None:
    """The files of ``source`` at ``commit``; None if ``cache`` does not know what the hub has.

    ``INDEX`` is read if it is there, so it has to be downloaded before the answer is more than
    a guess at the weights.
    """
    snapshot = Snapshot(cache, source.repo, commit)
    listing = snapshot.listing()
    if listing is None:
        return None
    small = small_files(listing)
    weights = weight_files(listing, indexed_files(snapshot.file(INDEX)), source.load_format, source.ignore_patterns)
    if source.download_dir is None:
        return [Part(cache, snapshot, {name: listing[name] for name in (*small, *weights)})]
    other = Path(source.download_dir).expanduser().resolve()
    # vLLM looks for the index where the weights are.
    beside = [*weights, *(name for name in small if name == INDEX)]
    return [
        Part(cache, snapshot, {name: listing[name] for name in small}),
        Part(other, Snapshot(other, source.repo, commit), {name: listing[name] for name in beside}),
    ]
