"""The spellings of a model's size."""

from __future__ import annotations

import pytest

from xinfer.model_size import canonical_size, canonical_size_or_text, size_as_int_or_text, size_as_number


@pytest.mark.parametrize(
    ("size", "canonical"), [("1_8", "1.8"), ("1.8", "1.8"), (1.8, "1.8"), ("8.0", "8"), (8, "8"), ("1.2e+02", "120")]
)
def test_one_spelling(size: str | float, canonical: str) -> None:
    assert canonical_size(size) == canonical_size_or_text(size) == canonical


@pytest.mark.parametrize("size", ["", "small", "30-A3", 0, -8, float("nan"), "inf", 1e9])
def test_no_size(size: str | float) -> None:
    with pytest.raises(ValueError, match="not a size in billions"):
        canonical_size(size)
    assert canonical_size_or_text(size) == str(size)


@pytest.mark.parametrize(
    ("size", "number", "int_or_text", "for_xinference"),
    [("8", 8, 8, 8), ("7.0", 7, 7, 7), ("0.6", 0.6, "0.6", "0_6"), ("1_8", 1.8, "1.8", "1_8"), ("big", *["big"] * 3)],
)
def test_spelled_for_others(size: str, number: float | str, int_or_text: int | str, for_xinference: int | str) -> None:
    assert size_as_number(size) == number
    assert size_as_int_or_text(size) == int_or_text
    assert size_as_int_or_text(size, point="_") == for_xinference
