"""A real HTTP server in a thread that writes down what it is asked and plays the answers it was given."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Asked:
    """One request as it came over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    content: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def params(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query))

    @property
    def body(self) -> Any:
        return json.loads(self.content) if self.content else None


@dataclass
class Answer:
    """What to play. ``pieces`` are sent one by one as chunks; ``cut`` breaks the connection after them."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pieces: Iterable[bytes] | None = None
    cut: bool = False


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that resets its connection is no error here, and no traceback on stderr."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class ScriptedServer:
    """Answers each path with its answers in turn, the last one for ever; other paths get a 404."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answers: dict[tuple[str, str], list[Answer]] = {}
        self.hung_up = threading.Event()
        """Set when a client went away in the middle of an answer."""
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, method: str, path: str, *answers: Answer) -> None:
        self.answers[method, path] = list(answers)

    def reply(self, method: str, path: str, body: Any) -> None:
        self.answer(method, path, Answer(body))

    def stream(self, path: str, *pieces: bytes, cut: bool = False) -> None:
        self.answer("POST", path, Answer(pieces=pieces, cut=cut))

    def next_answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        answers = self.answers.get((asked.method, asked.path))
        if not answers:
            return Answer({"detail": f"no route {asked.path}"}, 404)
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(script: ScriptedServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10
        disable_nagle_algorithm = True

        def play(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {key.lower(): value for key, value in self.headers.items()}
            answer = script.next_answer(Asked(self.command, self.path, headers, content))
            try:
                self.send(answer)
            except OSError:
                script.hung_up.set()
                self.close_connection = True

        def send(self, answer: Answer) -> None:
            content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            size = (
                {"transfer-encoding": "chunked"} if answer.pieces is not None else {"content-length": str(len(content))}
            )
            self.send_response(answer.status)
            for key, value in {"content-type": "application/json", **size, **answer.headers}.items():
                self.send_header(key, value)
            self.end_headers()
            if answer.pieces is None:
                self.wfile.write(content)
            for piece in answer.pieces or ():
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if answer.pieces is not None and not answer.cut:
                self.wfile.write(b"0\r\n\r\n")
            self.close_connection = answer.cut

        def log_message(self, *args: Any) -> None:
            pass

    for method in ("GET", "POST", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.play)
    return Handler
