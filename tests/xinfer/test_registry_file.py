"""The registry's file: migrations from every version there was, backups while it is written to, and what is refused."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from supervisor.registry.store import Kept, Store
from xinfer import registry_file
from xinfer.errors import Conflict, NotFound
from xinfer.messages import ModelSpec

OLD = sorted((Path(__file__).parent / "registry_files").glob("*.sql"))


def make(path: Path, script: str) -> Path:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(script)
    return path


def schema(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """The columns of each table, in an order that does not depend on when they were added."""
    with closing(sqlite3.connect(path)) as db:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return {name: [row[1:] for row in db.execute(f"PRAGMA table_info({name})")] for name in names}


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return registry_file.file_in(tmp_path)


@pytest.mark.parametrize("old", OLD, ids=lambda path: path.stem)
def test_file_of_each_version_is_read(file: Path, old: Path) -> None:
    make(file, old.read_text())
    registry_file.check_readable(file)
    for _ in range(2):
        store = Store(file)
        ((spec, asleep),) = [(kept.spec, kept.asleep) for kept in store.load()]
        store.close()
        declaration = {"model_name": "f"} if version(file) and old.stem == "1" else None
        assert spec == ModelSpec("m", "f", "p", created_at=1.0, declaration=declaration)
        assert asleep is (old.stem != "0-first")
    assert version(file) == registry_file.VERSION


@pytest.mark.parametrize("old", OLD, ids=lambda path: path.stem)
def test_migrations_lead_to_the_schema_of_a_new_file(tmp_path: Path, file: Path, old: Path) -> None:
    make(file, old.read_text())
    Store(file).close()
    Store(tmp_path / "new.sqlite").close()
    assert schema(file) == schema(tmp_path / "new.sqlite")


def test_schema_of_this_version_is_written_down(tmp_path: Path, file: Path) -> None:
    """A change of the schema is a new version, with a migration."""
    Store(tmp_path / "new.sqlite").close()
    make(file, (OLD[0].parent / f"{registry_file.VERSION}.sql").read_text())
    assert schema(file) == schema(tmp_path / "new.sqlite")
    assert version(file) == version(tmp_path / "new.sqlite") == registry_file.VERSION


def test_migration_that_fails_changes_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(db: sqlite3.Connection) -> None:
        db.execute("CREATE TABLE half (done TEXT)")
        raise RuntimeError("no")

    Store(file).close()
    before = schema(file)
    monkeypatch.setattr(registry_file, "MIGRATIONS", (*registry_file.MIGRATIONS, fail))
    monkeypatch.setattr(registry_file, "VERSION", registry_file.VERSION + 1)
    with pytest.raises(RuntimeError):
        Store(file)
    assert (schema(file), version(file)) == (before, registry_file.VERSION - 1)


def test_two_that_open_an_old_file_at_once(file: Path) -> None:
    make(file, OLD[0].read_text())
    failures: list[Exception] = []

    def open_it() -> None:
        try:
            Store(file).close()
        except Exception as error:  # noqa: BLE001  # shown by the assertion
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert version(file) == registry_file.VERSION


def test_backup_of_a_file_that_is_in_use(tmp_path: Path, file: Path) -> None:
    store = Store(file)
    store.save(ModelSpec("a", "f", "p"))
    target = tmp_path / "copy.sqlite"
    assert registry_file.backup(file, target) == 1
    store.save(ModelSpec("b", "f", "p"))
    assert target.stat().st_mode & 0o777 == 0o600
    with pytest.raises(Conflict, match="--overwrite"):
        registry_file.backup(file, target)
    assert registry_file.backup(file, target, overwrite=True) == 2
    store.close()
    assert {path.name for path in tmp_path.iterdir()} - {"registry.sqlite-wal", "registry.sqlite-shm"} == {
        file.name,
        target.name,
    }


def test_restore(tmp_path: Path, file: Path) -> None:
    store = Store(file)
    store.save(ModelSpec("a", "f", "p"), asleep=True)
    registry_file.backup(file, tmp_path / "copy.sqlite")
    store.forget("a")
    store.save(ModelSpec("b", "f", "p"))
    store.close()
    assert registry_file.restore(tmp_path / "copy.sqlite", file) == 1
    store = Store(file)
    assert store.load() == [Kept(ModelSpec("a", "f", "p"), asleep=True)]
    store.close()
    before = Store(tmp_path / "registry.sqlite.before-restore")
    assert [kept.spec.uid for kept in before.load()] == ["b"]
    before.close()


def test_restore_ignores_the_log_of_the_file_before(tmp_path: Path, file: Path) -> None:
    """A head that was killed leaves one."""
    copy = tmp_path / "copy.sqlite"
    Store(file).close()
    registry_file.backup(file, copy)
    killed = Store(file)
    killed.save(ModelSpec("late", "f", "p"))
    log = file.with_name(file.name + "-wal").read_bytes()
    killed.close()
    file.with_name(file.name + "-wal").write_bytes(log)
    assert registry_file.restore(copy, file) == 0


def test_old_backup_is_migrated(tmp_path: Path, file: Path) -> None:
    old = make(tmp_path / "old.sqlite", OLD[0].read_text())
    assert registry_file.restore(old, file) == 1
    assert version(file) == registry_file.VERSION
    assert version(old) == 0


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda path: path.write_text("no database " * 100), "not a registry's file"),
        (lambda path: make(path, "CREATE TABLE other (x)"), "no table of models"),
        (lambda path: make(path, f"{OLD[0].read_text()}; PRAGMA user_version = 99"), "version 99"),
    ],
)
def test_what_is_no_backup_is_refused_and_nothing_changes(
    tmp_path: Path, file: Path, prepare: Callable[[Path], object], said: str
) -> None:
    Store(file).close()
    before = file.read_bytes()
    wrong = tmp_path / "wrong.sqlite"
    prepare(wrong)
    with pytest.raises(Conflict, match=said):
        registry_file.restore(wrong, file)
    assert file.read_bytes() == before


def test_file_of_a_later_version_is_not_touched(file: Path) -> None:
    make(file, f"{OLD[0].read_text()}; PRAGMA user_version = 99")
    for use in (registry_file.check_readable, Store):
        with pytest.raises(Conflict, match="later xinfer"):
            use(file)
    assert version(file) == 99


def test_nothing_there(tmp_path: Path, file: Path) -> None:
    registry_file.check_readable(file)
    with pytest.raises(NotFound):
        registry_file.backup(file, tmp_path / "copy")
    with pytest.raises(NotFound):
        registry_file.restore(tmp_path / "copy", file)
    make(file, OLD[0].read_text())
    with pytest.raises(Conflict, match="cannot be written"):
        registry_file.backup(file, tmp_path / "none" / "copy")


def test_remove_keeps_backups(tmp_path: Path, file: Path) -> None:
    Store(file).close()
    registry_file.backup(file, tmp_path / "registry.sqlite.before-restore")
    registry_file.remove(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["registry.sqlite.before-restore"]
