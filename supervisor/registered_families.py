"""The catalog with what people have registered, made of the table's JSON when that has changed."""

from __future__ import annotations

import logging
from functools import lru_cache

from pydantic import ValidationError

from xinfer.catalog import Catalog, Family

_log = logging.getLogger("xinfer.gateway")


@lru_cache(maxsize=1)
def catalog_with(texts: tuple[str, ...]) -> Catalog:
    """What xinfer ships and the families in ``texts``; one of another version of xinfer that cannot be read is left out."""
    return Catalog.load().extended(family for text in texts if (family := _read(text)))


def _read(text: str) -> Family | None:
    try:
        return Family.model_validate_json(text)
    except ValidationError as error:
        _log.error("a registered family cannot be read, leaving it out: %s", error)
        return None
