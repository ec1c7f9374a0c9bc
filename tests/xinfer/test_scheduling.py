"""Giving way to engines."""

from __future__ import annotations

import os
import threading

import pytest

from xinfer.sched_batch import use_batch_scheduling

SET = os.sched_setscheduler


def policy_after() -> int:
    """The policy of a thread that has given way, and begun like any other: it inherits from this one."""
    found: list[int] = []

    def run() -> None:
        SET(0, os.SCHED_OTHER, os.sched_param(0))
        use_batch_scheduling()
        found.append(os.sched_getscheduler(0))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


def test_this_thread_and_no_other() -> None:
    before = os.sched_getscheduler(0)
    assert policy_after() == os.SCHED_BATCH
    assert os.sched_getscheduler(0) == before


def test_where_it_is_not_allowed_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert policy_after() == os.SCHED_OTHER


def test_where_there_is_no_such_thing_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "SCHED_BATCH")
    assert policy_after() == os.SCHED_OTHER
