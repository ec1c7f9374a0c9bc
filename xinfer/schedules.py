"""Schedules of autoscaling: ``Mon-Fri 08:00-20:00 min=2 tz=Asia/Taipei`` as a value, and whether it holds at a moment."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from xinfer.errors import LaunchRefused
from xinfer.messages.autoscaling import Schedule

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})\Z", re.ASCII)
_COUNT = re.compile(r"(min|max)=(\d{1,4})\Z", re.ASCII)
_MIDNIGHT = 24 * 60
_LONGEST = 200
_EXPECTED = (
    "expected days, hours, min or max, and a time zone if it is not UTC: 'Mon-Fri 08:00-20:00 min=2 tz=Asia/Taipei'"
)


def parse_schedule(text: str) -> Schedule:
    """The schedule that ``text`` describes. Raises ``LaunchRefused``.

    Days are names, ranges and lists of both (``Mon-Fri``, ``Sat,Sun``; ``Fri-Mon`` goes over Sunday), or ``daily``. Hours that
    end before they begin go on until the next day. Words may be in any order.
    """
    if len(text) > _LONGEST:
        raise _refusal(text, "it is too long")
    days: tuple[int, ...] | None = None
    hours: tuple[int, int] | None = None
    counts: dict[str, int] = {}
    time_zone = "UTC"
    for word in text.split():
        if found := _COUNT.match(word):
            counts[found[1]] = int(found[2])
        elif word.startswith("tz="):
            time_zone = _zone(text, word.removeprefix("tz="))
        elif found := _HOURS.match(word):
            hours = _minutes(text, found[1], found[2]), _minutes(text, found[3], found[4])
        elif days is None:
            days = _days(text, word)
        else:
            raise _refusal(text, f"{word!r} is not understood")
    if not counts:
        raise _refusal(text, "it has neither min nor max")
    if "max" in counts and counts["max"] < max(1, counts.get("min", 0)):
        raise _refusal(text, "max is at least 1, and not below min")
    begins, ends = hours or (0, _MIDNIGHT)
    days = days or tuple(range(7))
    return Schedule(text, days, begins, ends, time_zone, counts.get("min"), counts.get("max"))


def holds(schedule: Schedule, at: datetime) -> bool:
    """Whether ``at``, which has a time zone, lies within the schedule's hours."""
    local = at.astimezone(ZoneInfo(schedule.time_zone))
    minute = local.hour * 60 + local.minute
    if schedule.begins < schedule.ends:
        return local.weekday() in schedule.days and schedule.begins <= minute < schedule.ends
    yesterday = (local - timedelta(days=1)).weekday()
    began_today = local.weekday() in schedule.days and minute >= schedule.begins
    return began_today or (yesterday in schedule.days and minute < schedule.ends)


def _days(text: str, word: str) -> tuple[int, ...]:
    if word.lower() == "daily":
        return tuple(range(7))
    found: set[int] = set()
    for part in word.split(","):
        first, _, last = part.partition("-")
        begin = _day(text, first)
        end = _day(text, last or first)
        count = (end - begin) % 7 + 1
        found.update((begin + number) % 7 for number in range(count))
    return tuple(sorted(found))


def _day(text: str, name: str) -> int:
    short = name.lower()[:3]
    if short not in _DAYS:
        raise _refusal(text, f"{name!r} is no day")
    return _DAYS.index(short)


def _minutes(text: str, hour: str, minute: str) -> int:
    minutes = int(hour) * 60 + int(minute)
    if int(minute) > 59 or minutes > _MIDNIGHT:
        raise _refusal(text, f"{hour}:{minute} is no time")
    return minutes


def _zone(text: str, name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _refusal(text, f"there is no time zone {name!r}") from None
    return name


def _refusal(text: str, why: str) -> LaunchRefused:
    return LaunchRefused(f"schedule {text[:_LONGEST]!r}: {why}; {_EXPECTED}.", param="schedules")
