"""One line per request in the log."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from supervisor.gateway import request_line
from supervisor.gateway.request_line import RequestLine
from tests.supervisor.completions import chat
from tests.supervisor.servers import RegistryDouble, fake_engine
from tests.waiting import eventually
from xinfer.messages import Outcome
from xinfer.request_log import (
    LOGGER,
    LineFile,
    LineFormatter,
    LogFormat,
    attach_file,
    is_logged,
    lines_about,
    log_format,
    logged_share,
)


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """The fields of each line."""
    seen: list[dict[str, Any]] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.fields)  # type: ignore[attr-defined]

    logger, handler = logging.getLogger(LOGGER), Handler()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield seen
    logger.removeHandler(handler)
    logger.setLevel(before)


async def test_requests_of_every_kind(
    http: httpx.AsyncClient, registry: RegistryDouble, lines: list[dict[str, Any]]
) -> None:
    async with fake_engine(tokens=5) as replica:
        await registry.tell_replicas(replica)
        for number, body in enumerate((chat("secret", stream=True), chat("secret"), chat("!error"))):
            await http.post("/v1/chat/completions", json=body, headers={"x-request-id": f"id-{number}"})
        await eventually(lambda: len(lines) == 3)
    assert [each["request"] for each in lines] == ["id-0", "id-1", "id-2"]
    assert [(each["status"], each["outcome"]) for each in lines] == [(200, "ok"), (200, "ok"), (500, "failed")]
    assert [each["completion_tokens"] for each in lines] == [5, 5, None]
    assert {each["model"] for each in lines} == {"m"}
    assert {each["replica"] for each in lines} == {replica.replica}
    assert lines[0]["ttft_s"] > 0
    assert lines[1]["ttft_s"] is None, "it is known of streams only"
    assert "secret" not in str(lines)


def test_client_that_left(lines: list[dict[str, Any]]) -> None:
    RequestLine("id", "/v1/chat/completions", "m").write(Outcome.CANCELLED, 500, 1.0)
    assert lines[0]["status"] == 499


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([b'data: {"usage":{"prompt_tokens":3,"completion_tokens":7}}\n\n', b"data: [DONE]\n\n"], (3, 7)),
        ([b'{"usage": {"input_tokens": 4, "output_tokens": 9}}'], (4, 9)),
        ([b"", b""], (None, None)),
        ([b'"completion_tokens":1' + b" " * 5000], (None, None)),
    ],
)
def test_tokens(pieces: list[bytes], expected: tuple[int | None, int | None]) -> None:
    line = RequestLine("id", "/", "m")
    line.read_usage(*pieces)
    assert (line.prompt_tokens, line.completion_tokens) == expected


def test_share_leaves_out_successes_only(lines: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_line, "_share", 0.25)
    ids = [f"id-{number}" for number in range(400)]
    for request_id in ids:
        RequestLine(request_id, "/", "m").write(Outcome.OK, 200, 1.0)
        RequestLine(request_id, "/", "m").write(Outcome.FAILED, 503, 1.0)
    assert 60 < [each["status"] for each in lines].count(200) < 140
    assert [each["status"] for each in lines].count(503) == 400
    assert [each["request"] for each in lines if each["status"] == 200] == [
        each for each in ids if is_logged(each, 0.25)
    ]


def test_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[dict[str, Any]]) -> None:
    monkeypatch.setenv("XINFER_LOG_FORMAT", "json")
    logger = logging.getLogger(LOGGER)
    before = list(logger.handlers)
    attach_file(tmp_path)
    try:
        RequestLine("abc", "/v1/chat/completions", "m").write(Outcome.OK, 200, 0.5)
        RequestLine("other", "/v1/chat/completions", "m").write(Outcome.OK, 200, 0.5)
        (line,) = lines_about("abc", tmp_path)
    finally:
        for handler in set(logger.handlers) - set(before):
            logger.removeHandler(handler)
            handler.close()
        logger.propagate = True
    read = json.loads(line)
    assert (read["request"], read["status"], read["duration_s"]) == ("abc", 200, 0.5)


def test_full_file_is_replaced(tmp_path: Path) -> None:
    handler = LineFile(tmp_path / "1.log", maxBytes=100, backupCount=2)
    handler.setFormatter(LineFormatter(LogFormat.TEXT))
    for number in range(10):
        record = logging.LogRecord(LOGGER, logging.INFO, "", 0, "request", None, None)
        record.fields = {"request": number}
        handler.emit(record)
    handler.close()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["1.log", "1.log.1", "1.log.2"]
    assert all(file.stat().st_size <= 100 for file in files)
    assert files[0].read_text().endswith("request=9\n")


def test_text_leaves_out_what_is_not_known() -> None:
    record = logging.LogRecord(LOGGER, logging.INFO, "", 0, "request", None, None)
    record.fields = {"request": "abc", "ttft_s": None, "status": 200}
    assert LineFormatter(LogFormat.TEXT).format(record).endswith(" request=abc status=200")


@pytest.mark.parametrize(("variable", "value"), [("XINFER_LOG_FORMAT", "xml"), ("XINFER_REQUEST_LOG_SHARE", "2")])
def test_wrong_variable(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=variable):
        (log_format if variable == "XINFER_LOG_FORMAT" else logged_share)()
