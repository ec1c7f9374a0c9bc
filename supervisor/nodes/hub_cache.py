"""The hub's cache on a node, read and cleared there by Ray tasks with ``huggingface_hub``'s own means."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import ray


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
    return [
        CachedRepo(
            repo=each.repo_id,
            path=str(each.repo_path),
            real_path=os.path.realpath(each.repo_path),
            size_bytes=each.size_on_disk,
            files=tuple(sorted({str(file.file_path) for revision in each.revisions for file in revision.files})),
        )
        for each in sorted(repos, key=lambda each: each.repo_id)
        if each.repo_type == "model"
    ]


def remove(repo: str) -> bool:
    """Delete all revisions of a model from this process' cache; whether it was there and is gone."""
    from huggingface_hub import CacheNotFound, scan_cache_dir

    try:
        cache = scan_cache_dir()
    except CacheNotFound:
        return False
    found = [each for each in cache.repos if (each.repo_type, each.repo_id) == ("model", repo)]
    commits = [revision.commit_hash for each in found for revision in each.revisions]
    # Copies of a repository have the same commits as the original.
    alone = replace(cache, repos=frozenset(found))
    # What may not be deleted is only a warning there.
    alone.delete_revisions(*commits).execute()
    return bool(found) and not any(each.repo_path.exists() for each in found)


scan_there = ray.remote(scan)
remove_there = ray.remote(remove)
