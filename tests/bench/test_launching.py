"""What a benchmark of launches decides and tells, from given samples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.nvml import GB10, H100, made_up_nvml
from xinfer.bench.launching import report
from xinfer.bench.launching.footprint import gpu_used_mib
from xinfer.bench.launching.plot import plot
from xinfer.bench.launching.result import Result, RowResult
from xinfer.bench.launching.rows import ROWS, Name, Target
from xinfer.bench.launching.sample import Sample, durations, moments

MEMORY = {"idle_pss": 300.0, "idle_private": 250.0, "beside_pss": 200.0, "beside_private": 50.0}


def found(**samples: list[float | Sample]) -> Result:
    """A run with these samples by row."""
    rows: dict[Name, RowResult] = {}
    for name, row in ROWS.items():
        if name in samples:
            rows[name] = RowResult(row, [s if isinstance(s, Sample) else Sample(s) for s in samples[name]])
    return Result(rows, {"cores": 2}, {"runs": 3})


RESULT = found(
    bare=[Sample(50, {"starting": 40, "loading": 10}), Sample(60, {"starting": 48, "loading": 12})],
    warm=[Sample(5, {"starting": 2, "loading": 3}), 7, 6],
    terminate=[4, 4, 3],
    memory=[Sample(50, MEMORY)],
    off=[0],
)


@pytest.mark.parametrize(
    ("goal", "median", "bare", "reached"),
    [
        (Target(at_most=6), 6, None, True),
        (Target(at_most=6), 6.01, None, False),
        (Target(of_bare=0.5), 30, 60, True),
        (Target(of_bare=0.5), 30.1, 60, False),
        (Target(of_bare=0.5), 30, None, None),
        (Target(at_most=6, of_bare=0.12), 5, 40, False),
        (Target(at_most=6, of_bare=0.12), 6.1, 600, False),
        (Target(at_most=6, of_bare=0.12), 6.1, None, False),
        (Target(at_most=6, of_bare=0.12), 6, None, None),
        (Target(at_most=0), 0, None, True),
    ],
)
def test_a_goal_holds_with_all_of_its_parts(
    goal: Target, median: float, bare: float | None, reached: bool | None
) -> None:
    assert goal.reached(median, bare) is reached


def test_the_goals_are_those_that_were_set() -> None:
    told = {name: row.goal.describe(row.unit) for name, row in ROWS.items() if row.goal}
    assert told == {
        "warm": "6 s and 0.12 of bare",
        "cold": "0.5 of bare",
        "serve": "35 s",
        "replica": "6 s",
        "wake": "6 s",
        "terminate": "3 s",
        "off": "0",
    }


def test_stages_add_up_to_the_whole() -> None:
    told = durations(100.0, 110.0, [("pending", 100.5), ("starting", 102.0), ("ready", 109.0)])
    assert told == {"request": 0.5, "pending": 1.5, "starting": 7.0, "first token": 1.0}
    assert durations(100.0, 110.0, [], before="cluster") == {"cluster": 10.0}


def test_stages_from_before_and_twice_are_left_out() -> None:
    told = durations(
        100.0, 110.0, [("ready", 90.0), ("ready", 108.0), ("placing", 101.0), ("ready", 109.0), ("x", 111.0)]
    )
    assert told == {"request": 1.0, "placing": 7.0, "first token": 2.0}


def test_moments_are_the_launch_s_and_those_of_the_latest_replica() -> None:
    def stages(*pairs: tuple[str, float]) -> dict[str, object]:
        return {"stages": [{"stage": stage, "began_at": at, "seconds": 1.0} for stage, at in pairs]}

    launch = stages(("pending", 1.0), ("placing", 2.0), ("ready", 9.0))
    replicas = [stages(("starting", 3.0)), stages(("starting", 20.0), ("ready", 22.0)), {"stages": []}]
    told = moments({**launch, "replicas": replicas})
    assert told == [("pending", 1.0), ("placing", 2.0), ("ready", 9.0), ("starting", 20.0), ("ready", 22.0)]
    assert moments({"replicas": []}) == []


def test_medians_and_extremes() -> None:
    across = RESULT.rows["warm"].range
    assert across
    assert (across.median, across.min, across.max) == (6, 5, 7)
    assert RESULT.rows["bare"].parts == {"starting": 44, "loading": 11}
    assert RESULT.bare == 55
    assert RESULT.share_of_bare("warm") == pytest.approx(6 / 55)
    assert RESULT.share_of_bare("memory") is None
    assert {name: RESULT.reached(name) for name in RESULT.rows} == {
        "bare": None, "warm": True, "terminate": False, "memory": None, "off": True,
    }  # fmt: skip


def test_table() -> None:
    table = report.table(RESULT)
    cells = {row[0]: dict(zip(table.headers, row, strict=True)) for row in table.rows}
    assert list(cells) == [ROWS[name].title for name in ("bare", "warm", "terminate", "memory", "off")]
    warm = cells["launch to first token, warm host ready"]
    assert warm == {
        "WHAT": "launch to first token, warm host ready",
        "MEDIAN": "6.00 s",
        "(MIN..MAX)": "(5.00..7.00)",
        "OF BARE": "0.109",
        "GOAL: AT MOST": "6 s and 0.12 of bare",
        "REACHED": "yes",
    }
    assert cells[ROWS["terminate"].title]["REACHED"] == "NO"
    assert cells[ROWS["memory"].title]["MEDIAN"] == "50 MiB"
    assert cells[ROWS["off"].title]["MEDIAN"] == "0"
    assert cells[ROWS["bare"].title]["OF BARE"] is None


def test_a_row_without_samples_says_why() -> None:
    result = found(wake=[], bare=[5])
    result.rows["bare"].failures += ["It does not sleep."]
    result.rows["wake"].failures += ["It does not sleep.", "It does not sleep."]
    assert report.table(result).rows[1] == [ROWS["wake"].title, "failed", None, None, "6 s", None]
    assert report.warnings(result) == ["bare, wake: It does not sleep."]
    assert report.sentences(result) == []


def test_sentences() -> None:
    bare, warm, memory = report.sentences(RESULT)
    assert bare == "bare vLLM, start to first token, seconds by stage: starting 44.00, loading 11.00."
    assert warm.endswith("seconds by stage: starting 2.00, loading 3.00.")
    assert all(figure in memory for figure in ("300 MiB", "250 MiB", "200 MiB", "50 MiB"))


def test_json_can_be_read_back() -> None:
    facts = json.loads(json.dumps(RESULT.to_json()))
    assert (facts["format"], facts["machine"], facts["arguments"]) == (1, {"cores": 2}, {"runs": 3})
    warm = facts["rows"]["warm"]
    assert (warm["median"], warm["min"], warm["max"], warm["share_of_bare"], warm["reached"]) == (6, 5, 7, 0.109, True)
    assert warm["goal"] == {"at_most": 6, "of_bare": 0.12}
    assert warm["samples"][0] == {"value": 5, "parts": {"starting": 2, "loading": 3}}
    assert facts["rows"]["memory"]["parts"] == MEMORY


@pytest.mark.parametrize("result", [RESULT, found(off=[0]), found(wake=[])])
def test_plot_is_a_png(result: Result, tmp_path: Path) -> None:
    plot(result, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_memory_of_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up_nvml(tmp_path, monkeypatch, [])
    assert gpu_used_mib() == {}
    made_up_nvml(tmp_path, monkeypatch, [{**H100, "used": 120}, GB10])
    assert gpu_used_mib() == {"GPU-aaa": 120}
