"""Whose logs tell how a model is doing, or how its launch ended."""

from __future__ import annotations

import pytest

from supervisor.registry.record import Record
from tests.supervisor.samples import report, spec
from xinfer.messages import ReplicaReport, ReplicaStage

LIVE, OTHER = report("r1"), report("r2", ReplicaStage.LOADING)
FAILED, STOPPED = report("r3", ReplicaStage.FAILED), report("r4", ReplicaStage.STOPPED)


@pytest.mark.parametrize(
    ("live", "ended", "told"),
    [
        ([], None, []),
        ([LIVE, OTHER], None, [LIVE, OTHER]),
        ([LIVE], FAILED, [LIVE, FAILED]),
        ([], FAILED, [FAILED]),
        ([LIVE], STOPPED, [LIVE]),
        ([], STOPPED, [STOPPED]),
    ],
)
def test_with_logs(live: list[ReplicaReport], ended: ReplicaReport | None, told: list[ReplicaReport]) -> None:
    """What was stopped on purpose is of interest only while nothing runs, as in a sleeping model."""
    record = Record(spec(), replicas={each.replica: each for each in live}, last_ended=ended)
    assert record.with_logs == told
