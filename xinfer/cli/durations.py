"""Times on the command line: ``90d``, ``12h``, ``30m``, ``45s``."""

from __future__ import annotations

import re
from typing import Any

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_TEXT = re.compile(r"(\d+(?:\.\d+)?)([smhdw])\Z")


class Duration(click.ParamType[float]):
    """A number and its unit, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        found = _TEXT.match(str(value))
        if not found:
            self.fail(f"{value!r}: expected a number and s, m, h, d or w, such as 90d.", param, ctx)
        return float(found[1]) * _UNITS[found[2]]
