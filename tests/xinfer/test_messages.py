"""Records that travel: what can be read off them."""

from __future__ import annotations

import pickle

import pytest

from tests.supervisor.samples import model_status, report, spec, table
from xinfer.messages import ReplicaStage


def test_only_ready_replicas_with_an_address_take_requests() -> None:
    replicas = [report(stage, stage, address="http://x") for stage in ReplicaStage]
    assert [each.stage for each in model_status(*replicas).targets] == [ReplicaStage.READY]
    assert model_status(report(address=None)).targets == ()


@pytest.mark.parametrize(
    ("asked", "usual", "settled", "shown"),
    [
        (None, None, [], None),
        (None, 40960, [], 40960),
        (1024, 40960, [], 1024),
        (1024, 40960, [None, 512, 256], 256),
    ],
)
def test_context_length(asked: int | None, usual: int | None, settled: list[int | None], shown: int | None) -> None:
    replicas = [report(f"r{n}", context_length=length) for n, length in enumerate(settled)]
    assert model_status(*replicas, context_length=asked, usual_context_length=usual).context_length == shown


def test_stages_go_forward() -> None:
    stages = [each for each in ReplicaStage if not each.is_final]
    assert [each.progress for each in stages] == sorted({each.progress for each in stages})
    assert (stages[-1], stages[-1].progress) == (ReplicaStage.READY, 1.0)
    ends = {ReplicaStage.STOPPED, ReplicaStage.FAILED, ReplicaStage.CANCELLED}
    assert {each for each in ReplicaStage if each.is_final} == ends


def test_records_cannot_be_changed_and_survive_a_trip() -> None:
    whole = table(model_status(report(gpu_ids=("0",)), engine_args={"a": [1]}))
    assert pickle.loads(pickle.dumps(whole)) == whole
    with pytest.raises(AttributeError):
        spec().uid = "other"  # type: ignore[misc]
