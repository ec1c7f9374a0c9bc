"""What a turn on a machine with a GPU runs."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.conftest import ROOT
from tests.gpu.turn import NO_OTHER_PLUGINS, PARTS_OF_A_TURN, checks


@pytest.mark.parametrize("parts", [PARTS_OF_A_TURN, PARTS_OF_A_TURN[:1]], ids=["all", "one"])
def test_checks_are_found_with_no_plugins_but_its_own(parts: tuple[str, ...]) -> None:
    argv = [*checks(parts), "--collect-only"]
    found = subprocess.run(argv, cwd=ROOT, env={**os.environ, **NO_OTHER_PLUGINS}, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    for part in PARTS_OF_A_TURN:
        assert (f"<Module test_{part}.py>" in found.stdout) == (part in parts)
