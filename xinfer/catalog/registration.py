"""Reads and checks a family that is registered, in xinfer's format or in Xinference's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from xinfer.catalog.catalog import Catalog
from xinfer.catalog.family import Family
from xinfer.catalog.from_xinference import TEMPLATE_HINT, is_folder, refused, translate
from xinfer.catalog.template import ChatTemplate
from xinfer.catalog.xinference import GivenModel
from xinfer.names import is_uid

_MOST_TEMPLATE_BYTES = 100_000
"""The engine gets the template as one argument of its command line, for which Linux allows 128 KiB."""

M = TypeVar("M", bound=BaseModel)


def read_family(model: str | Mapping[str, Any], catalog: Catalog) -> Family:
    """The family that ``model`` describes, as JSON or as an object, in xinfer's format or in Xinference's.

    ``FamilyRefused`` names the first field that is wrong. Its folders have to be on this machine.
    """
    given = _object(model)
    if "model_name" in given:
        family = translate(_validated(GivenModel, given), catalog)
        prefix = "model_"
    elif "name" in given:
        family = _validated(Family, given)
        prefix = ""
    else:
        raise refused("model_name", "missing; xinfer's own format has it as name")
    _check(family, prefix)
    return family


def _object(model: str | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(model, str):
        try:
            # Without inf and nan, as the family is stored as JSON, which has neither.
            model = from_json(model, allow_inf_nan=False)
        except ValueError as error:
            raise refused("model", f"not JSON: {error}") from None
    if not isinstance(model, Mapping):
        raise refused("model", "expected a JSON object, or a string that holds one")
    return model


def _validated(kind: type[M], given: Mapping[str, Any]) -> M:
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        # Only the first, as the errors of the API name one parameter.
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "model"
        raise refused(field, first["msg"].removeprefix("Value error, ").rstrip(".")) from None


def _check(family: Family, prefix: str) -> None:
    """What tests check for shipped families. ``prefix`` stands before the names of fields in errors."""
    # A launch without a UID takes the family's name for it.
    if not is_uid(family.name):
        rule = "expected a valid model UID: 100 characters at most, no '-rep1' at its end"
        raise refused(f"{prefix}name", rule)
    for number, spec in enumerate(family.specs):
        for quantization in spec.quantizations:
            path = spec.path(quantization)
            if path.startswith("/") and not is_folder(Path(path)):
                field = "model_uri" if prefix else "model_id"
                raise refused(f"{prefix}specs.{number}.{field}", f"there is no folder {path[:200]!r}")
    if family.chat_template is not None:
        _check_template(family.chat_template)


def _check_template(text: str) -> None:
    if len(text.encode()) > _MOST_TEMPLATE_BYTES:
        raise refused("chat_template", f"longer than {_MOST_TEMPLATE_BYTES} bytes")
    if "{" not in text or not ChatTemplate(text).is_jinja:
        raise refused("chat_template", f"not a Jinja template; {TEMPLATE_HINT}")
