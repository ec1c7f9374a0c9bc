"""Keys that an operator gives as files: how they are read, and what becomes of them from one start to the next."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from supervisor.given_keys import Add, Revoke, Rotate, changes
from supervisor.registry.key_book import KeyBook
from xinfer.api_key import derived_key, digest, new_id, new_key
from xinfer.cluster.given_keys import GivenKey, read
from xinfer.cluster.options import BootOptions, StartOptions
from xinfer.messages import ApiKey, KeyScope

NOW = 100.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As Kubernetes mounts a secret, with names of its own beside the keys."""
    (tmp_path / "..data").mkdir()
    (tmp_path / "admin").write_text(new_key("0123456789") + "\n")
    (tmp_path / "metrics").write_text(new_key("abcdefabcd"))
    return tmp_path


def test_a_file_per_scope(folder: Path) -> None:
    found = read(folder)
    assert [(key.id, key.scope, key.name) for key in found] == [
        ("0123456789", KeyScope.ADMIN, "admin-from-file"),
        ("abcdefabcd", KeyScope.METRICS, "metrics-from-file"),
    ]
    assert found[1].digest == digest((folder / "metrics").read_text()).hex()


def test_what_is_no_key_stops_the_start_and_is_not_shown(folder: Path) -> None:
    for text in ("", "secret", derived_key("a"), "xinfer_0123456789_abc"):
        (folder / "admin").write_text(text)
        with pytest.raises(ValueError, match=r"/admin: expected xinfer_, 10 hex") as refused:
            StartOptions(auth=True, keys_from=str(folder))
        assert not text or text not in str(refused.value)
    (folder / "admin").write_bytes(b"\xff")
    with pytest.raises(ValueError, match="cannot be read"):
        read(folder)
    (folder / "admin").unlink()
    (folder / "metrics").unlink()
    with pytest.raises(ValueError, match=re.escape("expected a file named infer, launch, admin, metrics in it")):
        read(folder)


def test_only_for_a_head_that_requires_keys(folder: Path) -> None:
    for options in ({}, {"join": "10.0.0.1:6379", "auth": True}):
        with pytest.raises(ValueError, match="keys_from: expected on a head that requires keys"):
            StartOptions(keys_from=str(folder), **options)  # type: ignore[arg-type]


def test_what_the_boot_is_told_has_no_key(folder: Path) -> None:
    start = StartOptions(auth=True, keys_from=str(folder))
    told = BootOptions(
        ray_address="a",
        host="127.0.0.1",
        port=1,
        supervisors=1,
        routing=start.routing,
        cors_origins=(),
        on_each_node=False,
        allow_fake=False,
        given_keys=start.given_keys,
    )
    text = told.dump()
    assert BootOptions.parse(text) == told
    for file in ("admin", "metrics"):
        assert (folder / file).read_text().strip().rpartition("_")[2] not in text


def given(key_id: str, text: str, scope: KeyScope = KeyScope.ADMIN) -> GivenKey:
    return GivenKey(key_id, scope, digest(text).hex())


def started(book: KeyBook, *keys: GivenKey) -> list[str]:
    """The kinds of changes of a start with these keys, which the book then has made."""
    made: list[str] = []
    for change in changes(book.all(), keys, NOW):
        made.append(type(change).__name__)
        match change:
            case Add(key):
                book.add(key)
            case Rotate(key_id, new_digest):
                book.rotate(key_id, new_digest, NOW)
            case Revoke(key_id):
                book.revoke(key_id, NOW, cut_streams=False)
    return made


def test_from_one_start_to_the_next() -> None:
    made_by_hand = ApiKey(new_id(), "alice", KeyScope.INFER, digest("a"))
    book = KeyBook([made_by_hand], version=0)
    first, second = new_id(), new_id()
    assert started(book, given(first, "one")) == ["Add"]
    assert book.has_admin(NOW)
    assert started(book, given(first, "one")) == []
    assert started(book, given(first, "two")) == ["Rotate"]
    assert (book.get(first).digest, book.get(first).former_until) == (digest("two"), NOW)
    assert started(book, given(second, "three")) == ["Revoke", "Add"]
    assert [(key.id, key.is_valid(NOW)) for key in book.all()] == [
        (made_by_hand.id, True),
        (first, False),
        (second, True),
    ]
    assert started(book, given(second, "three"), given(first[::-1], "four", KeyScope.METRICS)) == ["Add"]
    assert started(book) == ["Revoke", "Revoke"]
    assert not book.has_admin(NOW)
    assert book.get("alice").is_valid(NOW)
