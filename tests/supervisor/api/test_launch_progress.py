"""How far a launch is, as ``GET /v1/models/{uid}/progress`` tells it."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor.api.launch_progress import progress
from tests.supervisor.samples import model_status, report, times
from xinfer.messages import DownloadState, FollowerReport, ModelState, ReplicaStage

DOWNLOADING, STARTING, LOADING = ReplicaStage.DOWNLOADING, ReplicaStage.STARTING, ReplicaStage.LOADING
READY, FAILED = ReplicaStage.READY, ReplicaStage.FAILED
LAUNCHING = ModelState.LAUNCHING


@pytest.mark.parametrize(
    ("stages", "asked", "share", "stage"),
    [
        ([], 1, 0.02, "placing"),
        ([STARTING], 1, 0.5, "starting"),
        ([STARTING, LOADING], 2, 0.55, "starting"),
        ([READY], 2, 0.51, "placing"),
    ],
)
def test_progress_is_the_mean_and_the_slowest(stages: list[Any], asked: int, share: float, stage: str) -> None:
    reports = [report(f"r{n}", each) for n, each in enumerate(stages)]
    told = progress(model_status(*reports, state=LAUNCHING, replicas=asked), 0)
    assert (told["progress"], told["stage"], told["error"]) == (share, stage, None)
    assert [each["replica_id"] for each in told["replicas"]] == list(range(asked))


@pytest.mark.parametrize(
    ("state", "share", "stage"),
    [
        (ModelState.PENDING, 0, "pending"),
        (ModelState.SLEEPING, 1, "ready"),
        (ModelState.FAILED, 0, "failed"),
        (ModelState.CANCELLED, 0, "cancelled"),
        (ModelState.TERMINATING, 0, "cancelled"),
    ],
)
def test_what_is_so_of_the_whole_is_so_of_each(state: ModelState, share: float, stage: str) -> None:
    told = progress(model_status(state=state, replicas=2), 0)
    assert (told["progress"], told["stage"]) == (share, stage)
    assert [each["stage"] for each in told["replicas"]] == [stage, stage]


def test_one_replica_too_many_keeps_nobody_waiting() -> None:
    told = progress(model_status(report("r1"), report("r2", STARTING), replicas=1), 0)
    assert (told["progress"], told["stage"]) == (1.0, "ready")


def test_fields_of_the_contract_are_there() -> None:
    told = progress(model_status(state=LAUNCHING), 0)
    assert told.keys() >= {"progress", "stage", "download_files", "replicas"}
    names = {"replica_id", "replica_model_uid", "progress", "stage", "info", "updated_at", "download_files"}
    assert told["replicas"][0].keys() >= names


@pytest.mark.parametrize(
    ("done", "total", "share"), [(0, 0, 0.1), (0, 100, 0.1), (50, 100, 0.3), (100, 100, 0.5), (101, 100, 0.5)]
)
def test_download_moves_the_bar_by_its_bytes(done: int, total: int, share: float) -> None:
    state = DownloadState(bytes_done=done, bytes_total=total, bytes_per_s=7.0, files_done=1, files_total=3)
    (told,) = progress(model_status(report("r1", DOWNLOADING, download=state), state=LAUNCHING), 0)["replicas"]
    assert told["progress"] == share
    figures = {"bytes_done": done, "bytes_total": total, "bytes_per_s": 7.0, "files_done": 1, "files_total": 3}
    assert told["download"] == figures


def test_downloads_on_every_node_of_a_replica_count() -> None:
    own = DownloadState(bytes_done=100, bytes_total=100)
    other = FollowerReport(1, "b", DOWNLOADING, download=DownloadState(bytes_done=0, bytes_total=100))
    downloading = report("r1", DOWNLOADING, node="a", download=own, followers=(other,))
    (told,) = progress(model_status(downloading, state=LAUNCHING, workers=2), 0)["replicas"]
    assert told["progress"] == 0.3
    done = [each["download"]["bytes_done"] for each in told["workers"] if each["download"]]
    assert done == [100, 0]


def test_nothing_to_download() -> None:
    (told,) = progress(model_status(report("r1", LOADING), state=LAUNCHING), 0)["replicas"]
    assert told["download"] is None


def stages(told: dict[str, Any]) -> dict[str, float | None]:
    return {each["stage"]: each["seconds"] for each in told["stages"]}


def test_stages_have_their_times_and_the_present_one_lasts() -> None:
    loading = report("r1", LOADING, times=times(starting=12, loading=14.5))
    told = progress(model_status(loading, state=LAUNCHING, times=times(pending=10, placing=10.25)), 20)
    assert stages(told) == {"pending": 0.25, "placing": 1.75}
    assert [each["began_at"] for each in told["stages"]] == [10, 10.25]
    assert stages(told["replicas"][0]) == {"starting": 2.5, "loading": 5.5}


def test_placing_lasts_until_the_last_replica_has_its_place() -> None:
    launch = times(pending=10, placing=10)
    first = report("r1", LOADING, times=times(starting=12, loading=13))
    assert stages(progress(model_status(first, state=LAUNCHING, times=launch, replicas=2), 20))["placing"] == 10
    second = report("r2", STARTING, times=times(starting=15))
    told = progress(model_status(first, second, state=LAUNCHING, times=launch, replicas=2), 20)
    assert stages(told)["placing"] == 5


def test_end_has_no_length() -> None:
    one = report("r1", times=times(starting=11, loading=12, warming_up=13, ready=14))
    told = progress(model_status(one, times=times(pending=10, placing=10.5, ready=14)), 99)
    assert stages(told) == {"pending": 0.5, "placing": 0.5, "ready": None}
    assert stages(told["replicas"][0]) == {"starting": 1, "loading": 1, "warming_up": 1, "ready": None}


def test_replica_that_came_later_does_not_lengthen_the_launch() -> None:
    one = report("r2", times=times(starting=50, ready=52))
    assert stages(progress(model_status(one, times=times(pending=10, placing=10, ready=14)), 99))["placing"] == 4


def test_clocks_of_two_machines_may_differ() -> None:
    ahead = report("r1", LOADING, times=times(starting=12, loading=21))
    (told,) = progress(model_status(ahead, state=LAUNCHING), 20)["replicas"]
    assert stages(told) == {"starting": 9, "loading": 0}


@pytest.mark.parametrize(
    ("state", "stage", "error"), [(ModelState.FAILED, "failed", "on fire"), (ModelState.CANCELLED, "cancelled", None)]
)
def test_launch_that_is_over_shows_how_far_it_came(state: ModelState, stage: str, error: str | None) -> None:
    last = report("r1", FAILED, times=times(starting=11, loading=12, failed=14), info="on fire", updated_at=14.0)
    launch = times(pending=10, placing=10, **{stage: 15})
    told = progress(model_status(state=state, reason="on fire", times=launch, ended=last), 99)
    assert (told["stage"], told["error"], stages(told)) == (stage, error, {"pending": 0, "placing": 1, stage: None})
    (replica,) = told["replicas"]
    assert (replica["stage"], replica["info"], replica["updated_at"]) == (stage, "on fire", 14.0)
    assert stages(replica) == {"starting": 1, "loading": 2, "failed": None}


@pytest.mark.parametrize(
    ("gpus", "free", "info"),
    [
        (0, 1.0, ""),
        (0.5, 0.25, "waiting for 0.5 GPU; 0.25 free in the cluster"),
        (1, 0.0, "waiting for 1 GPU; 0 free in the cluster"),
        (4, 3.0, "waiting for 4 GPUs on one node; 3 free in the cluster"),
        (4, None, "waiting for 4 GPUs on one node"),
    ],
)
def test_what_is_waited_for(gpus: float, free: float | None, info: str) -> None:
    (told,) = progress(model_status(state=LAUNCHING, gpus=gpus), 0, free)["replicas"]
    assert (told["stage"], told["info"]) == ("placing", info)


def test_waiting_for_capacity() -> None:
    model = model_status(state=ModelState.PENDING, gpus=2, wait_for_capacity=True, times=times(pending=10))
    told = progress(model, 25, 1.0)
    assert (told["stage"], stages(told)) == ("pending", {"pending": 15})
    (replica,) = told["replicas"]
    asked = "waiting for 2 GPUs on one node, which Ray's autoscaler is asked for; 1 free in the cluster"
    assert (replica["stage"], replica["info"]) == ("pending", asked)


def test_replica_with_a_place_waits_for_nothing() -> None:
    (told,) = progress(model_status(report("r1", STARTING), state=LAUNCHING, gpus=1), 0, 0.0)["replicas"]
    assert told["info"] == ""
