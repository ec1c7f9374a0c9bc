"""Registered families: the decisions, and what is on disk of them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from supervisor.registry.families import Families
from supervisor.registry.store import Store
from xinfer.errors import FamilyRefused, NotFound
from xinfer.messages import Registration

WHALE = Registration("whale", '{"name": "whale"}')
KRILL = Registration("krill", '{"name": "krill"}', persist=False)


def test_oldest_first() -> None:
    families = Families([WHALE])
    families.add(KRILL)
    assert families.texts == (WHALE.family, KRILL.family)
    families.remove("whale")
    assert families.texts == (KRILL.family,)


@pytest.mark.parametrize("name", ["whale", "Whale", "WHALE"])
def test_a_name_is_taken_once_in_any_case(name: str) -> None:
    families = Families([WHALE])
    with pytest.raises(FamilyRefused, match="registered already") as caught:
        families.add(Registration(name, "{}"))
    assert (caught.value.status, caught.value.param, families.texts) == (400, "model_name", (WHALE.family,))
    assert families.remove(name) is WHALE
    families.add(Registration(name, "{}"))


def test_nobody_of_that_name() -> None:
    with pytest.raises(NotFound, match="'krill'"):
        Families([WHALE]).remove("krill")


def test_all_together_have_a_bound() -> None:
    families = Families([Registration(f"f{number}", "x" * 2**20) for number in range(4)])
    with pytest.raises(FamilyRefused, match="4 MiB"):
        families.add(WHALE)
    families.remove("f0")
    families.add(WHALE)


@pytest.mark.parametrize(("persistent_only", "found"), [(False, [WHALE, KRILL]), (True, [WHALE])])
def test_what_the_next_registry_finds(tmp_path: Path, persistent_only: bool, found: list[Registration]) -> None:
    """One that comes back in the same cluster has all; one of the next cluster has those that were to persist."""
    file = tmp_path / "registry.sqlite"
    first = Store(file)
    first.save_family(WHALE)
    first.save_family(KRILL)
    first.close()
    for _ in range(2):
        store = Store(file)
        assert store.load_families(persistent_only=persistent_only) == found
        store.close()


def test_forgotten_at_once_for_another_process(tmp_path: Path) -> None:
    store, other = Store(tmp_path / "registry.sqlite"), Store(tmp_path / "registry.sqlite")
    store.save_family(WHALE)
    assert other.load_families(persistent_only=False) == [WHALE]
    store.forget_family("whale")
    store.forget_family("whale")
    assert other.load_families(persistent_only=False) == []
    store.close()
    other.close()


def test_file_from_before_there_were_registrations(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "registry.sqlite")
    old.execute("CREATE TABLE models (uid TEXT PRIMARY KEY, spec TEXT NOT NULL)")
    old.close()
    store = Store(tmp_path / "registry.sqlite")
    assert store.load_families(persistent_only=False) == []
    store.close()
