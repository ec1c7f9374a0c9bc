"""Work done in a forked process instead of a new one."""

from __future__ import annotations

import os

import pytest

from worker.forking import run_in_fork


def test_answer_comes_from_another_process() -> None:
    here = {"pid": os.getpid()}
    answer = run_in_fork(lambda: (os.getpid(), here))  # neither the function nor what it holds has to be picklable
    assert answer[0] != os.getpid()
    assert answer[1] == here


def test_large_answer() -> None:
    assert len(run_in_fork(lambda: b"x" * 10_000_000)) == 10_000_000


def test_what_it_raises() -> None:
    with pytest.raises(RuntimeError, match="ValueError: no such class"):
        run_in_fork(lambda: (_ for _ in ()).throw(ValueError("no such class")))


def test_it_dies() -> None:
    with pytest.raises(RuntimeError, match="without an answer"):
        run_in_fork(lambda: os._exit(3))
