"""The clients' environments: begun before the first test, so that they are there when a test wants one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Generator

import pytest

from tests.clients import environments
from tests.conftest import ROOT

FIRST_WORKER = "gw0"
"""pytest-xdist's name of the worker that makes them for all."""

collect_ignore = ["scripts"]  # they run inside the environments, with a pytest of their own


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Make them beside the tests that come first, in one process of its own: some tests count this one's children.

    Who needs one waits for it, and hears why if it failed.
    """
    if os.environ.get("PYTEST_XDIST_WORKER", FIRST_WORKER) != FIRST_WORKER:
        return (yield)

    wanted = set()
    for item in session.items:
        if hasattr(item, "callspec"):
            wanted.add(item.callspec.params.get("environment"))
    wanted &= set(environments.names())

    builder = subprocess.Popen(
        [sys.executable, "-m", "tests.clients.environments", *sorted(wanted)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return (yield)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(builder.pid, signal.SIGTERM)
        builder.wait()
