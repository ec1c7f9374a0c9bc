"""Whether a program's output is what a document says of it: JSON by its shape, text by its words."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.docs.blocks import ENDPOINT, Block

_WORD = re.compile(r"[^\W\d_]{3,}")
_IN_PLACE_OF_TEXT = ("...", "……")


def check(output: str, shown: Block, endpoint: str) -> None:
    """Fail if ``output`` lacks what ``shown`` has: JSON its fields and their types, text its words or those in the marker."""
    if shown.language == "json":
        has_shape_of(json.loads(output), json.loads(shown.text), "the answer")
    words = shown.words
    if shown.language == "text" and not words:
        words = tuple(_WORD.findall(shown.text.replace(ENDPOINT, endpoint)))
    missing = [word for word in words if word not in output]
    assert not missing, f"{shown.where}: {missing} not in\n{output}"


def has_shape_of(real: Any, shown: Any, where: str) -> None:
    """Fail unless every field that is shown is there with a value of the same kind; ``null`` stands for any."""
    if shown is None:
        return
    if isinstance(shown, dict):
        assert isinstance(real, dict), f"{where}: an object is shown, and it is {real!r}"
        for name, value in shown.items():
            assert name in real, f"{where}: {name} is shown and not in {sorted(real)}"
            has_shape_of(real[name], value, f"{where}.{name}")
    elif isinstance(shown, list):
        assert isinstance(real, list), f"{where}: a list is shown, and it is {real!r}"
        assert real or not shown, f"{where} is empty"
        for number, value in enumerate(shown[: len(real)]):
            has_shape_of(real[number], value, f"{where}[{number}]")
    else:
        kind = (int, float) if isinstance(shown, int | float) else type(shown)
        assert isinstance(real, kind), f"{where}: {shown!r} is shown, and it is {real!r}"
