"""Clients written for Xinference and for OpenAI's API, as the real packages and without a line changed, on real vLLM."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from tests.clients import inside
from tests.clients.environments import names
from tests.clients.inside import Check, Failures
from tests.conftest import RunningCluster

CHECKS = inside.checks()


def parameters(check: Check) -> Any:
    name = f"{check.environment}-{check.file}-{check.function}"
    return pytest.param(check.environment, check, id=name)


@pytest.fixture(scope="session")
def failures(cluster: RunningCluster, tiny_chat: str) -> Callable[[str], Failures]:
    """What failed in an environment, which is run once, when the first of its tests asks."""
    return cache(lambda environment: inside.run(environment, cluster.endpoint, tiny_chat))


@pytest.mark.engine
@pytest.mark.heavy  # each environment is installed first; OpenAI's and Anthropic's packages are in ours, and in tests/e2e
@pytest.mark.timeout(600)  # the first may have to wait for an environment to be made
@pytest.mark.parametrize(("environment", "check"), [parameters(check) for check in CHECKS])
def test_client(environment: str, check: Check, failures: Callable[[str], Failures]) -> None:
    found = failures(environment)
    assert (check.file, check.function) in found, f"it was not run, only {sorted(found)}"
    failure = found[check.file, check.function]
    assert not failure, failure


def test_every_environment_has_a_use() -> None:
    assert {check.environment for check in CHECKS} == set(names())
