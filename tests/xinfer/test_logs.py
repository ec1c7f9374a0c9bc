"""xinfer's loggers in a process that Serve has set up."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from xinfer.logs import VARIABLE, attach_to_serve, log_level


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    logger = logging.getLogger("xinfer")
    before = (logger.level, list(logger.handlers), logger.propagate)
    yield
    logger.setLevel(before[0])
    logger.handlers[:] = before[1]
    logger.propagate = before[2]


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> list[logging.LogRecord]:
    """What Serve's handler gets."""
    seen: list[logging.LogRecord] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record)

    monkeypatch.setattr(logging.getLogger("ray.serve"), "handlers", [Handler()])
    return seen


def test_serve_s_handlers_get_each_record_once(records: list[logging.LogRecord]) -> None:
    attach_to_serve()
    attach_to_serve()
    logging.getLogger("xinfer.worker").info("here")
    assert [record.getMessage() for record in records] == ["here"]


def test_an_operator_sets_the_level(records: list[logging.LogRecord], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "error")
    attach_to_serve()
    logging.getLogger("xinfer.gateway").warning("not shown")
    logging.getLogger("xinfer.gateway").error("shown")
    assert [record.getMessage() for record in records] == ["shown"]


@pytest.mark.parametrize("value", ["", "loud"])
def test_what_is_no_level_is_info(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, value)
    assert log_level() == logging.INFO
