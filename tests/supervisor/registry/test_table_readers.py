from __future__ import annotations

from supervisor.registry.table_readers import TableReaders


def test_all_have_it_when_the_slowest_has() -> None:
    readers = TableReaders()
    readers.hear("a", 7, now=0.0)
    readers.hear("b", 5, now=0.0)
    assert readers.all_have(5, now=0.1)
    assert not readers.all_have(6, now=0.1)
    readers.hear("b", 6, now=0.2)
    assert readers.all_have(6, now=0.3)


def test_nobody_waits_for_one_that_is_gone() -> None:
    readers = TableReaders()
    readers.hear("gone", 1, now=0.0)
    readers.hear("there", 9, now=5.0)
    assert not readers.all_have(9, now=5.9)
    assert readers.all_have(9, now=6.1)
