"""From the object that a request brings to the fields that its route knows, for all routes that ask for engines."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from xinfer.errors import LaunchRefused

M = TypeVar("M", bound=BaseModel)


def read_fields(kind: type[M], body: dict[str, Any]) -> M:
    """``body`` as ``kind``; ``LaunchRefused`` names the first field that is wrong."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise LaunchRefused(f"{field}: {first['msg']}", param=field) from None
