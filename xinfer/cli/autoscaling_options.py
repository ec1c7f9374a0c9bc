"""Options with which ``launch`` and ``scale`` say how the number of replicas follows the load."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
_SECONDS = click.FloatRange(0)

_OPTIONS = (
    click.option(
        "--target-requests",
        "target_ongoing_requests",
        type=click.FloatRange(0, min_open=True),
        metavar="N",
        help="Requests per replica, running and waiting.  [as many as an engine runs at once]",
    ),
    click.option(
        "--target-ttft",
        "target_ttft_s",
        type=click.FloatRange(0, min_open=True),
        metavar="SECONDS",
        help="90 of 100 streams shall have their first token after this long.",
    ),
    click.option(
        "--scale-up-delay",
        "upscale_delay_s",
        type=_SECONDS,
        metavar="SECONDS",
        help="How long the load has to ask for more replicas; waiting requests do not wait for it.",
    ),
    click.option(
        "--scale-down-delay",
        "downscale_delay_s",
        type=_SECONDS,
        metavar="SECONDS",
        help="How long the load has to do with fewer replicas.",
    ),
    click.option(
        "--schedule",
        "schedules",
        multiple=True,
        metavar="TEXT",
        help="Other bounds at some hours, as in 'Mon-Fri 08:00-20:00 min=2 tz=Asia/Taipei'; may be given several times.",
    ),
    click.option(
        "--priority",
        type=click.FloatRange(0, min_open=True),
        metavar="WEIGHT",
        help="The model's share when there are not enough GPUs for all.  [1]",
    ),
)
_FIELDS = (
    *("min_replicas", "max_replicas", "target_ongoing_requests", "target_ttft_s"),
    *("upscale_delay_s", "downscale_delay_s", "schedules", "priority"),
)


def autoscaling_options(least: str, most: str) -> Callable[[F], F]:
    """Add these options; ``least`` and ``most`` are the names of those for the bounds."""
    bounds = (
        click.option(
            least,
            "min_replicas",
            type=click.IntRange(0),
            metavar="N",
            help="Fewest replicas; with 0 it sleeps when idle, and the next request wakes it.",
        ),
        click.option(
            most,
            "max_replicas",
            type=click.IntRange(1),
            metavar="N",
            help="Most replicas: their number follows the load.",
        ),
    )

    def add(command: F) -> F:
        for option in reversed((*bounds, *_OPTIONS)):
            command = option(command)
        return command

    return add


def take_config(options: dict[str, Any]) -> dict[str, Any]:
    """Remove these options from ``options``; returns those that were given, as ``autoscaling_config``."""
    given: dict[str, Any] = {}
    for name in _FIELDS:
        value = options.pop(name)
        if value is not None and value != ():
            given[name] = value
    if "schedules" in given:
        given["schedules"] = list(given["schedules"])
    return given
