"""A small Hugging Face hub on the loopback: real HTTP for the real client, as slow, unreliable or forbidding as a test asks."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

Refusal = Literal["missing", "gated", "forbidden", "broken"]
"""``missing``: no such repository (401, as the real hub says it). ``gated``: its licence was not accepted (403). ``forbidden``:
the token may not (403). ``broken``: the hub itself fails (500)."""
_REFUSALS: dict[Refusal, tuple[int, str, str]] = {
    "missing": (401, "RepoNotFound", "Repository not found"),
    "gated": (403, "GatedRepo", "Access to this model is restricted and you are not in the authorized list."),
    "forbidden": (403, "", "Forbidden"),
    "broken": (500, "", "Internal error"),
}
_PIECE_S = 0.02


class Hub(ThreadingHTTPServer):
    """Serves ``folder`` as the main branch of every model there is, ``owner/name``, whatever the names.

    ``revisions`` are further branches or tags with folders of their own. Every file is LFS's if it has more than 64 KiB. All that
    can be set may be changed while it runs.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, folder: Path, *, rate_bytes_per_s: float | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.revisions: dict[str, Path] = {"main": folder}
        self.rate_bytes_per_s = rate_bytes_per_s
        """Of all downloads together; None is as fast as it goes."""
        self.refusals: dict[str, Refusal] = {}
        """By the repository's id."""
        self.breaks_after_bytes: list[int] = []
        """Each cuts one answer short, the next with so many bytes or more to send, after that number."""
        self.requests: list[tuple[str, str]] = []
        """Method and path of all so far."""
        self.files_fetched: list[str] = []
        """Names of the files that were downloaded from some byte to the end, in order; a look at a file's head is none."""
        self._line = threading.Lock()
        self._line_free_at = 0.0

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT is to be."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def folder_of(self, revision: str) -> Path | None:
        """The folder of a branch, a tag or a commit."""
        by_commit = {commit_of(folder): folder for folder in self.revisions.values()}
        return self.revisions.get(revision) or by_commit.get(revision)

    def pace(self, size: int) -> None:
        """Wait until ``size`` more bytes may have gone over the line."""
        if self.rate_bytes_per_s is None:
            return
        with self._line:
            self._line_free_at = max(self._line_free_at, time.monotonic()) + size / self.rate_bytes_per_s
            wait_s = self._line_free_at - time.monotonic()
        time.sleep(max(0.0, wait_s))

    def break_for(self, size: int) -> int | None:
        """After how many bytes an answer of ``size`` bytes is to break off, None if it is to be whole."""
        with self._line:
            if self.breaks_after_bytes and self.breaks_after_bytes[0] <= size:
                return self.breaks_after_bytes.pop(0)
        return None


@contextlib.contextmanager
def serving(server: Hub) -> Iterator[Hub]:
    """``server``, running."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.rate_bytes_per_s = None
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def hub(folder: Path, *, rate_bytes_per_s: float | None = None) -> Iterator[str]:
    """The endpoint of a hub that serves ``folder`` under every model id: ``envs={"HF_ENDPOINT": endpoint, "HF_HOME": ...}``."""
    with serving(Hub(folder, rate_bytes_per_s=rate_bytes_per_s)) as server:
        yield server.endpoint


class StoredFile:
    """A file in a repository."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size
        self.is_lfs = self.size > 64 * 1024

    @cached_property
    def blob_id(self) -> str:
        """git's name of its content."""
        return hashlib.sha1(b"blob %d\0" % self.size + self.path.read_bytes()).hexdigest()

    @cached_property
    def sha256(self) -> str:
        """LFS's name of its content."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    @property
    def etag(self) -> str:
        """The name by which clients keep it."""
        return self.sha256 if self.is_lfs else self.blob_id

    def facts(self, name: str) -> dict[str, Any]:
        """Its entry in a listing."""
        lfs = {"lfs": {"oid": self.sha256, "size": self.size, "pointerSize": 134}} if self.is_lfs else {}
        return {"type": "file", "path": name, "size": self.size, "oid": self.blob_id, **lfs}


def commit_of(folder: Path) -> str:
    """The commit under which ``folder`` is served, as long as names and sizes of its files stay the same."""
    listing = [(name, file.size) for name, file in files_of(folder).items()]
    return hashlib.sha1(json.dumps([str(folder), listing]).encode()).hexdigest()


def files_of(folder: Path) -> dict[str, StoredFile]:
    """All files by their names in the repository."""
    return {str(path.relative_to(folder)): StoredFile(path) for path in sorted(folder.rglob("*")) if path.is_file()}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # clients that are killed
            super().handle()

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(json.loads(body or b"{}"))

    def _answer(self, body: Mapping[str, Any] | None = None) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append((self.command, path))
        words = path.strip("/").split("/")
        is_api = words[:2] == ["api", "models"]
        repo = "/".join(words[2:4] if is_api else words[:2])
        if refusal := self.server.refusals.get(repo):
            self._refuse(*_REFUSALS[refusal])
        elif is_api:
            self._answer_api(repo, words[4:], body or {})
        elif words[2:3] == ["resolve"] and len(words) > 4:
            self._answer_file(words[3], "/".join(words[4:]))
        else:
            self._refuse(404, "", "Not found")

    def _answer_api(self, repo: str, words: list[str], body: Mapping[str, Any]) -> None:
        what, revision, inside = (*words[:2], "/".join(words[2:])) if len(words) > 1 else ("revision", "main", "")
        folder = self.server.folder_of(revision)
        if folder is None:
            return self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        files = files_of(folder)
        if what == "revision":
            siblings = [{"rfilename": name} for name in files]
            return self._send_json({"id": repo, "modelId": repo, "sha": commit_of(folder), "siblings": siblings})
        if what == "tree":
            return self._send_json(_tree(files, inside, "recursive=true" in self.path.lower()))
        if what == "paths-info":
            return self._send_json([files[name].facts(name) for name in body.get("paths", ()) if name in files])
        return self._refuse(404, "", "Not found")

    def _answer_file(self, revision: str, name: str) -> None:
        folder = self.server.folder_of(revision)
        if folder is None:
            return self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        file = files_of(folder).get(name)
        if file is None:
            return self._refuse(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit_of(folder)})
        is_part, first, end = self._range(file.size)
        self.send_response(206 if is_part else 200)
        self.send_header("ETag", f'"{file.etag}"')
        self.send_header("X-Repo-Commit", commit_of(folder))
        self.send_header("Accept-Ranges", "bytes")
        if is_part:
            self.send_header("Content-Range", f"bytes {first}-{end - 1}/{file.size}")
        self.send_header("Content-Length", str(end - first))
        self.end_headers()
        if self.command == "GET":
            if end == file.size:
                self.server.files_fetched.append(name)
            self._send_content(file, first, end)
        return None

    def _range(self, size: int) -> tuple[bool, int, int]:
        """Whether a part is asked for, its first byte, and the one after its last."""
        asked = self.headers.get("Range")
        first, _, last = (asked or "bytes=0-").removeprefix("bytes=").partition("-")
        return asked is not None, int(first), min(int(last) + 1, size) if last else size

    def _send_content(self, file: StoredFile, first: int, end: int) -> None:
        broken = self.server.break_for(end - first)
        left = end - first if broken is None else broken
        with file.path.open("rb") as content:
            content.seek(first)
            while left:
                rate = self.server.rate_bytes_per_s
                piece = content.read(min(left, max(1024, int(rate * _PIECE_S)) if rate else left))
                self.server.pace(len(piece))
                self.wfile.write(piece)
                left -= len(piece)
        self.close_connection = self.close_connection or broken is not None

    def _send_json(self, content: Any) -> None:
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _refuse(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        data = json.dumps({"error": message}).encode()
        self.send_response(status)
        for name, value in {"X-Error-Code": code, "X-Error-Message": message, **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _tree(files: Mapping[str, StoredFile], inside: str, recursive: bool) -> list[dict[str, Any]]:
    """The files below ``inside``, or its files and folders."""
    prefix = f"{inside}/" if inside else ""
    below = {name: file for name, file in files.items() if name.startswith(prefix)}
    if recursive:
        return [file.facts(name) for name, file in below.items()]
    folders = dict.fromkeys(name.removeprefix(prefix).partition("/")[0] for name in below if "/" in name[len(prefix) :])
    found = [{"type": "directory", "path": f"{prefix}{one}", "size": 0, "oid": "0" * 40} for one in folders]
    return [*found, *(file.facts(name) for name, file in below.items() if "/" not in name[len(prefix) :])]
