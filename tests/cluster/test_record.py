"""What is remembered of a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from xinfer.cluster.cluster_record import ClusterRecord

RECORD = ClusterRecord("abc", "http://127.0.0.1:9997", "127.0.0.2:6379", 12.5)


@pytest.mark.parametrize("record", [RECORD, ClusterRecord("abc", None, "a:1", 0.0)])
def test_kept_and_forgotten(tmp_path: Path, record: ClusterRecord) -> None:
    home = tmp_path / "deep" / "home"
    assert ClusterRecord.load(home) is None
    ClusterRecord.forget(home)
    record.save(home)
    record.save(home)
    assert ClusterRecord.load(home) == record
    assert [file.name for file in (home / "run").iterdir()] == ["cluster.json"], "no draft is left"
    ClusterRecord.forget(home)
    assert ClusterRecord.load(home) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"id": "a", "unknown": 1}'])
def test_file_that_cannot_be_read_is_no_record(tmp_path: Path, text: str) -> None:
    RECORD.save(tmp_path)
    (tmp_path / "run" / "cluster.json").write_text(text)
    assert ClusterRecord.load(tmp_path) is None
