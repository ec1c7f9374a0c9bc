"""Schemas that lead back to themselves, wherever a request has them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from supervisor.translate.json_schema import check_schemas
from xinfer.errors import InvalidBody

TREE = {
    "type": "object",
    "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#/$defs/leaf"}},
    "$defs": {"leaf": {}},
}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"anyOf": [{"type": "string"}, {"$ref": "#"}]},
        {"allOf": [{"oneOf": [{"$ref": "#/allOf/0"}]}]},
        {"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"$ref": "#"}}},
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        lambda schema: {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}},
        lambda schema: {"structured_outputs": {"json": schema}},
        lambda schema: {"text": {"format": {"type": "json_schema", "schema": schema}}},
        lambda schema: {"output_config": {"format": {"type": "json_schema", "schema": schema}}},
    ],
)
def test_refused(schema: dict[str, Any], body: Any) -> None:
    with pytest.raises(InvalidBody, match="refers to itself"):
        check_schemas(body(schema))


@pytest.mark.parametrize(
    "schema",
    [
        TREE,
        {"type": "array", "items": {"$ref": "#"}},
        {"$ref": "#/nowhere"},
        {"$ref": "https://example.org/schema"},
        {"$ref": 3},
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}},
        {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}], "$defs": {"a": {"type": "string"}}},
        {"anyOf": "text"},
        {},
        "text",
    ],
)
def test_left_to_the_engine(schema: Any) -> None:
    check_schemas({"structured_outputs": {"json": schema}})


def test_a_long_chain_takes_no_time() -> None:
    names = [f"d{number}" for number in range(5000)]
    definitions = {name: {"anyOf": [{"$ref": f"#/$defs/{after}"}] * 2} for name, after in itertools.pairwise(names)}
    check_schemas({"structured_outputs": {"json": {"$ref": "#/$defs/d0", "$defs": definitions | {names[-1]: {}}}}})
