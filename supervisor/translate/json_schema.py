"""JSON Schemas that no engine can follow: vLLM compiles one that refers to nothing but itself, and fails at the first token."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from xinfer.errors import InvalidBody

# Where the APIs have a schema in a request.
_PLACES = (
    ("response_format", "json_schema", "schema"),
    ("structured_outputs", "json"),
    ("text", "format", "schema"),
    ("output_config", "format", "schema"),
)
_ALTERNATIVES = ("anyOf", "oneOf", "allOf")


def check_schemas(body: dict[str, Any]) -> None:
    """``InvalidBody`` if a schema of the request leads back to itself before it says what a value looks like."""
    for place in _PLACES:
        schema = _at(body, place)
        if isinstance(schema, dict) and _leads_to_itself(schema):
            field = ".".join(place)
            raise InvalidBody(
                f"{field}: the schema refers to itself without saying what a value looks like.", param=field
            )


def _leads_to_itself(root: dict[str, Any]) -> bool:
    """True if references from the root come back to a schema on their own way."""
    finished: set[int] = set()
    on_the_way: list[tuple[int, Iterator[Any]]] = [(id(root), _direct(root, root))]
    while on_the_way:
        number, following = on_the_way[-1]
        schema = next(following, None)
        if schema is None:
            finished.add(number)
            on_the_way.pop()
        elif any(id(schema) == other for other, _ in on_the_way):
            return True
        elif id(schema) not in finished:
            on_the_way.append((id(schema), _direct(schema, root)))
    return False


def _direct(schema: Any, root: dict[str, Any]) -> Iterator[Any]:
    """The schemas that a value of ``schema`` has to be a value of as well, or one of which it may be."""
    if not isinstance(schema, dict):
        return
    reference = schema.get("$ref")
    if isinstance(reference, str):
        target = _resolve(reference, root)
        if target is not None:
            yield target
    for name in _ALTERNATIVES:
        alternatives = schema.get(name)
        if isinstance(alternatives, list):
            yield from (each for each in alternatives if isinstance(each, dict))


def _resolve(reference: str, root: dict[str, Any]) -> Any:
    """What a reference within the document points to (RFC 6901); None for one that leads nowhere, which vLLM refuses."""
    if not reference.startswith("#"):
        return None
    found: Any = root
    for part in reference[1:].split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        elif isinstance(found, dict):
            found = found.get(name)
        else:
            return None
    return found


def _at(body: dict[str, Any], place: tuple[str, ...]) -> Any:
    found: Any = body
    for name in place:
        if not isinstance(found, dict):
            return None
        found = found.get(name)
    return found
