"""What the hub's cache on this machine holds: read straight from the disk, without huggingface_hub
and without a network.

``models--<owner>--<name>/`` holds ``refs/<revision>`` (a commit), ``trees/<commit>.json`` (all
files of a commit, here or not), ``snapshots/<commit>/`` (links to the files that are here) and
``blobs/<etag>``, as ``blobs/<etag>.<random>.incomplete`` while it is being written.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

_COMMIT = re.compile(r"[0-9a-f]{40}")
_TREE_FORMAT = 1
_PARTIAL = ".incomplete"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository as the hub lists it."""

    size: int
    etag: str
    """Names its content."""


class Snapshot:
    """One commit of one repository in one cache."""

    def __init__(self, cache: Path, repo: str, commit: str) -> None:
        name = f"models--{repo.replace('/', '--')}"
        self.commit = commit
        self._folder = cache / name
        self._locks = cache / ".locks" / name

    def listing(self) -> dict[str, RemoteFile] | None:
        """All files of the commit by name; None if the hub's answer is not in the cache."""
        try:
            tree = json.loads((self._folder / "trees" / f"{self.commit}.json").read_text(encoding="utf-8"))
            if tree["format_version"] != _TREE_FORMAT:
                return None
            return {name: _remote_file(facts) for name, facts in tree["files"].items()}
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None

    def file(self, name: str) -> Path:
        """Where ``name`` is if it is here."""
        return self._folder / "snapshots" / self.commit / name

    def has(self, name: str) -> bool:
        return self.file(name).exists()

    def partials(self) -> Iterator[Path]:
        """The beginnings of files, whoever writes to them or once did."""
        yield from (self._folder / "blobs").glob(f"*{_PARTIAL}")

    def orphans(self) -> dict[Path, int]:
        """Partial files that nobody writes to, as their writer was killed, with the time of
        the last write in nanoseconds.
        """
        found = {}
        for partial in self.partials():
            etag = partial.name.partition(".")[0]
            if not _is_free(self._locks / f"{etag}.lock"):
                continue
            at = _modified(partial)
            if at:
                found[partial] = at
        return found

    def bytes_here(self, files: Mapping[str, RemoteFile], orphans: Container[Path]) -> list[int]:
        """How much of each of ``files`` is here, no matter who brought it; ``orphans`` do
        not count.
        """
        growing = _newest_sizes(partial for partial in self.partials() if partial not in orphans)
        return [
            file.size if self._is_whole(name, file) else min(growing.get(file.etag, 0), file.size)
            for name, file in files.items()
        ]

    def _is_whole(self, name: str, file: RemoteFile) -> bool:
        # The link is made after the file.
        return self.has(name) or (self._folder / "blobs" / file.etag).exists()


def cache_folder(env: Mapping[str, str]) -> Path:
    """The cache that a process with the environment ``env`` uses."""
    home = env.get("HF_HOME", f"{env.get('XDG_CACHE_HOME', '~/.cache')}/huggingface")
    folder = env.get("HF_HUB_CACHE", env.get("HUGGINGFACE_HUB_CACHE", f"{home}/hub"))
    folder = Template(folder).safe_substitute(env)
    if folder.startswith("~/") and "HOME" in env:
        return Path(env["HOME"], folder[2:])
    return Path(folder).expanduser()


def cached_commit(cache: Path, repo: str, revision: str | None) -> str | None:
    """The commit that ``revision`` (None: the main branch) was when it was last asked for; None
    if it never was.
    """
    if revision and _COMMIT.fullmatch(revision):
        return revision
    try:
        commit = (cache / f"models--{repo.replace('/', '--')}" / "refs" / (revision or "main")).read_text().strip()
    except (OSError, ValueError):
        return None
    if _COMMIT.fullmatch(commit):
        return commit
    return None


def remove_unchanged(orphans: Mapping[Path, int]) -> None:
    """Delete those that have not grown since they were found: one that has was no orphan (not
    every file system can lock).
    """
    for partial, at in orphans.items():
        if _modified(partial) == at:
            partial.unlink(missing_ok=True)


def remove_own_partials() -> None:
    """Delete the partial files that this process has open: huggingface_hub resumes none that it
    did not begin itself.
    """
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            path = descriptor.readlink()
            if path.name.endswith(_PARTIAL):
                path.unlink()
        except OSError:
            continue


def _remote_file(facts: Mapping[str, object]) -> RemoteFile:
    size = facts.get("lfs_size") or facts["size"]
    etag = facts.get("lfs_sha256") or facts["blob_id"]
    return RemoteFile(int(str(size)), str(etag))


def _newest_sizes(partials: Iterator[Path]) -> dict[str, int]:
    """Size by etag; of several partial files of one etag the one last written to counts."""
    newest: dict[str, tuple[int, int]] = {}
    for partial in partials:
        try:
            facts = partial.stat()
        except OSError:
            # It has just become whole.
            continue
        etag = partial.name.partition(".")[0]
        newest[etag] = max(newest.get(etag, (0, 0)), (facts.st_mtime_ns, facts.st_size))
    return {etag: size for etag, (_, size) in newest.items()}


def _modified(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _is_free(lock: Path) -> bool:
    """Whether nobody holds the lock that huggingface_hub takes while it writes a file."""
    try:
        descriptor = os.open(lock, os.O_RDWR)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
