"""The book of a turn and the table of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gpu.checks import CHECKS, Book, lines


def test_what_nobody_found_out_is_unmeasured() -> None:
    assert len(lines([])) == len(CHECKS)
    assert {found for _, _, found, _, _ in lines([])} == {"unmeasured"}


def test_a_later_turn_wins(tmp_path: Path) -> None:
    Book(tmp_path / "book").add("terminate-memory", "900 MiB", reached=False)
    Book(tmp_path / "book").add("terminate-memory", "0\nMiB", reached=True)
    table = {what: rest for _, what, *rest in lines(Book(tmp_path / "book").read())}
    assert table["GPU memory left after terminate"] == ["0 MiB", "at most 64 MiB", "yes"]


def test_a_miss_shows(tmp_path: Path) -> None:
    book = Book(tmp_path / "new" / "book")
    assert book.read() == []
    book.add("ratio-128", "0.9", reached=False)
    assert ("larger model", "throughput through over direct, 128 streams", "0.9", "at least 0.98", "NO") in lines(
        book.read()
    )


def test_only_what_the_table_shows_is_noted(tmp_path: Path) -> None:
    book = Book(tmp_path / "book")
    with pytest.raises(KeyError):
        book.add("unheard-of", "1")
    with pytest.raises(AssertionError, match="no goal"):
        book.add("start", "10 s", reached=True)
