"""The clients' environments: begun before the first test, so that they are there when a test wants one."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.clients import environments

collect_ignore = ["scripts"]  # they run inside the environments, with a pytest of their own


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Make them beside the tests that come first. Who needs one waits for it, and hears why if it failed."""
    params = [item.callspec.params for item in session.items if hasattr(item, "callspec")]
    wanted = {given["environment"] for given in params if "environment" in given}
    with ThreadPoolExecutor(1, thread_name_prefix="environments") as builder:
        for name in sorted(wanted & set(environments.names())):
            builder.submit(environments.python_of, name)
        try:
            return (yield)
        finally:
            builder.shutdown(wait=False, cancel_futures=True)
