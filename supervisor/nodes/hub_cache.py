"""The Hugging Face hub's cache on a node: listed, cleared, and searched for the files of one model."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from xinfer.catalog.model_files import indexed_files, snapshot_folder

_WEIGHTS = ("*.safetensors", "*.bin", "*.pt")


@dataclass(frozen=True, slots=True)
class CachedRepo:
    """One model repository in the cache of one node."""

    repo: str
    """Its id on the hub."""
    path: str
    real_path: str
    size_bytes: int
    files: tuple[str, ...]


def scan() -> list[CachedRepo]:
    """The models in this process' cache; none if there is no cache."""
    # Takes a while to import.
    from huggingface_hub import CacheNotFound, scan_cache_dir

    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        return []

    found = []
    for each in sorted(repos, key=lambda each: each.repo_id):
        if each.repo_type != "model":
            continue

        # Revisions share files that did not change between them.
        files: set[str] = set()
        for revision in each.revisions:
            files.update(str(file.file_path) for file in revision.files)
        found.append(
            CachedRepo(
                repo=each.repo_id,
                path=str(each.repo_path),
                real_path=os.path.realpath(each.repo_path),
                size_bytes=each.size_on_disk,
                files=tuple(sorted(files)),
            )
        )
    return found


def remove(repo: str) -> bool:
    """Delete all revisions of a model from this process' cache; True if it was there and is gone."""
    from huggingface_hub import CacheNotFound, scan_cache_dir

    try:
        cache = scan_cache_dir()
    except CacheNotFound:
        return False

    found = [each for each in cache.repos if (each.repo_type, each.repo_id) == ("model", repo)]
    commits: list[str] = []
    for each in found:
        commits.extend(revision.commit_hash for revision in each.revisions)

    # Copies of a repository have the same commits as the original.
    alone = replace(cache, repos=frozenset(found))
    # A file that may not be deleted is only a warning there, so look afterwards.
    alone.delete_revisions(*commits).execute()
    return bool(found) and not any(each.repo_path.exists() for each in found)


def local_files(path: str, revision: str | None = None) -> Path | None:
    """The folder with the files of ``path``, a folder or a hub id, on this machine; None unless all weights are there. Blocks."""
    folder: Path | None
    if path.startswith("/"):
        folder = Path(path)
    else:
        folder = snapshot_folder(path, revision)
    if folder and _has_weights(folder):
        return folder
    return None


def _has_weights(folder: Path) -> bool:
    """Whether all files that an index names are there, or, without an index, any file of weights."""
    indexes: list[Path] = []
    for pattern in _WEIGHTS:
        indexes.extend(folder.glob(f"{pattern}.index.json"))
    if indexes:
        return any(map(_is_whole, indexes))

    return any(next(folder.glob(pattern), None) for pattern in _WEIGHTS)


def _is_whole(index: Path) -> bool:
    names = indexed_files(index)
    return bool(names) and all((index.parent / name).exists() for name in names)
