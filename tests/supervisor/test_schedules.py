"""Schedules as people write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from xinfer.errors import LaunchRefused
from xinfer.schedules import holds, parse_schedule


@pytest.mark.parametrize(
    ("text", "at", "expected"),
    [
        ("Mon-Fri 08:00-20:00 min=2", "2026-11-27T08:00", True),
        ("Mon-Fri 08:00-20:00 min=2", "2026-11-27T20:00", False),
        ("Mon-Fri 08:00-20:00 min=2", "2026-11-28T12:00", False),
        ("min=2 sat,SUN", "2026-11-28T00:00", True),
        ("daily 22:00-06:00 max=1", "2026-11-28T05:59", True),
        ("daily 22:00-06:00 max=1", "2026-11-28T06:00", False),
        ("Fri 22:00-06:00 max=1", "2026-11-28T05:00", True),
        ("Sat 22:00-06:00 max=1", "2026-11-28T05:00", False),
        ("Sat-Mon 00:00-24:00 min=1", "2026-11-30T23:59", True),
        ("Mon-Fri 08:00-20:00 min=2 tz=Asia/Taipei", "2026-11-27T00:00", True),
        ("Mon-Fri 08:00-20:00 min=2 tz=Asia/Taipei", "2026-11-27T12:00", False),
        # Clocks went forward there on the 29th of March.
        ("daily 08:00-09:00 min=2 tz=Europe/Berlin", "2026-03-28T07:30", True),
        ("daily 08:00-09:00 min=2 tz=Europe/Berlin", "2026-03-29T06:30", True),
        ("daily 08:00-09:00 min=2 tz=Europe/Berlin", "2026-03-29T07:30", False),
    ],
)
def test_hours(text: str, at: str, expected: bool) -> None:
    assert holds(parse_schedule(text), datetime.fromisoformat(at).replace(tzinfo=UTC)) is expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "neither min nor max"),
        ("Mon-Fri 08:00-20:00", "neither min nor max"),
        ("Mon-Fri min=1 25:00-26:00", "no time"),
        ("08:60-09:00 min=1", "no time"),
        ("Noday min=1", "'Noday' is no day"),
        ("Mon Tue min=1", "'Tue' is not understood"),
        ("max=0", "max is at least 1"),
        ("min=3 max=2", "not below min"),
        ("min=1 tz=Mars/Olympus", "no time zone"),
        ("min=1 tz=../../etc/passwd", "no time zone"),
        ("min=1 " + "x" * 300, "too long"),
    ],
)
def test_refused_with_an_example(text: str, why: str) -> None:
    with pytest.raises(LaunchRefused, match=why) as caught:
        parse_schedule(text)
    assert "Mon-Fri 08:00-20:00 min=2 tz=Asia/Taipei" in caught.value.message
