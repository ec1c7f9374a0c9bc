"""The JSON Schema of a family's file: as the classes have it, and right about files."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from xinfer.catalog.catalog import FAMILIES_FOLDER, parse_yaml
from xinfer.catalog.schema import SCHEMA_FILE, family_schema

FILES = sorted(FAMILIES_FOLDER.glob("*.yaml"))
VALIDATOR = Draft202012Validator(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
SMALLEST: dict[str, Any] = {
    "name": "own",
    "description": "A model of one's own.",
    "languages": ["en"],
    "abilities": ["chat"],
    "context_length": 4096,
    "specs": [{"size_in_billions": "8", "model_id": "me/own"}],
}


def test_it_is_what_the_classes_say() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == family_schema(), "python -m xinfer.catalog.schema writes it anew"
    Draft202012Validator.check_schema(VALIDATOR.schema)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_takes_every_shipped_file(file: Path) -> None:
    VALIDATOR.validate(parse_yaml(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "wrong",
    [
        {"abilities": ["sing"]},
        {"abilities": []},
        {"context_length": 0},
        {"specs": []},
        {"specs": [{"size_in_billions": 8, "model_id": "me/own"}]},
        {"specs": [{"size_in_billions": "big", "model_id": "me/own"}]},
        {"thinking": {"mode": "sometimes"}},
        {"thinking": {"mode": "always", "effort": {"values": []}}},
        {"colour": "red"},
    ],
    ids=str,
)
def test_it_refuses_a_wrong_field(wrong: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(SMALLEST)
    assert not VALIDATOR.is_valid(SMALLEST | wrong)
