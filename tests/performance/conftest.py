from __future__ import annotations

import pytest

from tests.conftest import FIGURES


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> list[str]:
    """Lines that the end of the run's report shows."""
    return request.config.stash.setdefault(FIGURES, [])
