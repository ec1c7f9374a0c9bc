"""The size of a model in billions of parameters, and how callers spell it."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

_SMALLEST = Decimal("0.000001")
_LARGEST = Decimal("1000000")


def canonical_size(size: str | int | float) -> str:
    """The one spelling that xinfer compares: ``"1_8"``, ``"1.8"`` and ``1.8`` are ``"1.8"``; anything else is a ValueError."""
    try:
        # Xinference writes 1_8, which Decimal would read as 18.
        number = Decimal(str(size).replace("_", "."))
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite() or not _SMALLEST <= number <= _LARGEST:
        raise ValueError(f"{size!r} is not a size in billions, such as 8, 0.6 or 1_8")
    return f"{number.normalize():f}"


def canonical_size_or_text(size: str | int | float) -> str:
    """``canonical_size``, or the text itself if it is no size: a caller that only compares it finds no match."""
    try:
        return canonical_size(size)
    except ValueError:
        return str(size)


def size_as_number(size: str | None) -> int | float | str | None:
    """``"8"`` is 8 and ``"0.6"`` is 0.6; text that is no size stays text."""
    if size is None:
        return None
    try:
        number = float(canonical_size(size))
    except ValueError:
        return size
    if number.is_integer():
        return int(number)
    return number


def size_as_int_or_text(size: str | float, point: str = ".") -> int | str:
    """``"8"`` is 8 and ``"0.6"`` stays text, with ``point`` before its fraction. Xinference's is an underscore."""
    text = canonical_size_or_text(size)
    if text.isdigit():
        return int(text)
    return text.replace(".", point)
