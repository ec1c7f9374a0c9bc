"""What vLLM's loggers let through, with levels that are set at once."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import vllm.logger
from vllm.config.logging import LoggingConfig

from worker.vllm_patches.logger_levels import caches_emptied_at_end, set_levels_at_once

CONFIGURE = "_configure_vllm_root_logger"


@pytest.fixture
def child() -> Iterator[logging.Logger]:
    """One of vLLM's, whose configuration is as before afterwards."""
    yield logging.getLogger("vllm.of_this_test")
    vllm.logger.configure_logging(LoggingConfig())


def test_levels_count_as_soon_as_they_are_set(child: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm.logger, CONFIGURE, getattr(vllm.logger, CONFIGURE))
    set_levels_at_once()
    for level in ("WARNING", "DEBUG", "INFO"):
        child.setLevel(logging.CRITICAL)
        assert not child.isEnabledFor(logging.ERROR)
        vllm.logger.configure_logging(LoggingConfig(log_level=level))
        limit = logging.getLevelName(level)
        assert [child.isEnabledFor(limit), child.isEnabledFor(limit - 1)] == [True, False]


def test_caches_are_emptied_once(monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[logging.Manager] = []
    monkeypatch.setattr(logging.Manager, "_clear_cache", lambda manager: times.append(manager))
    with caches_emptied_at_end():
        for _ in range(3):
            logging.getLogger("of_this_test").setLevel(logging.INFO)
        assert not times
    assert times == [logging.root.manager]
    logging.getLogger("of_this_test").setLevel(logging.NOTSET)
    assert len(times) == 2, "later changes have to be seen at once"


def test_a_version_without_it_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(vllm.logger, CONFIGURE)
    set_levels_at_once()
    assert not hasattr(vllm.logger, CONFIGURE)
