"""A minute of the soak test (``make soak``): three parts die under load, and nothing is left of it."""

from __future__ import annotations

import pytest

from tests.soak.run import soak
from tests.soak.settings import Part, SoakSettings

SHORT = SoakSettings(
    duration_s=33,
    each_part=True,
    kill_period_s=11,
    launch_period_s=16,
    warm_up_launches=0,
    warm_up_s=5,
    settle_s=3,
    recovery_timeout_s=60,
    parts=(Part.SUPERVISOR, Part.ENGINE_CORE, Part.REGISTRY),
)


@pytest.mark.engine
@pytest.mark.soak
@pytest.mark.timeout(420)
def test_a_minute_of_kills(figures: list[str]) -> None:
    report = soak(SHORT)
    for part, longest in report.recovery_s.items():
        figures.append(f"{part} killed under load: recovered after {longest or float('inf'):.1f} s")
    figures.append(
        f"{len(report.results)} requests meanwhile: {report.success_without_retries:.4f} succeeded at once, "
        f"{report.success_with_retries:.4f} with retries"
    )

    text = "\n".join(report.lines())
    assert not report.sanity_errors, text
    assert {kill.part for kill in report.kills} == set(SHORT.parts), text
    assert report.success_with_retries == 1.0, text
    # A few seconds are too short for the memory and for the success without retries, which counts three kills a minute.
    later = {"success without retries", "file descriptors", "memory of the same process", "memory of a successor"}
    assert [goal for goal in report.missed if goal.name not in later] == [], text
