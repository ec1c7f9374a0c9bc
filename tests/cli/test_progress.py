"""What a launch shows while it is under way, and when it is ready."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result
from rich.console import Console

from tests.client.scripted_server import Answer, ScriptedServer
from xinfer.cli.bars import Bars
from xinfer.cli.stages import state, summary

Run = Callable[..., Result]


def stages(**began_at: float) -> list[dict[str, Any]]:
    """``stages(loading=3, ready=5)``: each lasts until the next began, the last one has no length."""
    names, ends = list(began_at), [*list(began_at.values())[1:], None]
    return [
        {"stage": name, "began_at": began_at[name], "seconds": None if end is None else end - began_at[name]}
        for name, end in zip(names, ends, strict=True)
    ]


def replica(number: int = 0, **facts: Any) -> dict[str, Any]:
    return {"replica_id": number, "replica_model_uid": f"m-rep{number}", "progress": 0.5, "info": "", **facts}


def report(*replicas: dict[str, Any], **facts: Any) -> dict[str, Any]:
    return {"progress": 0.5, "stage": "loading", "stages": [], "replicas": list(replicas), "error": None, **facts}


def download(done: int, total: int, rate: float = 0) -> dict[str, Any]:
    return {"bytes_done": done, "bytes_total": total, "bytes_per_s": rate, "files_done": 0, "files_total": 2}


READY = report(
    replica(0, stage="ready", progress=1, stages=stages(starting=11, loading=12.5, warming_up=14, ready=14.5)),
    replica(1, stage="ready", progress=1, stages=stages(starting=11, loading=12, warming_up=12.25, ready=12.5)),
    stage="ready",
    stages=stages(pending=10, placing=10.2, ready=14.6),
)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"stage": "pending"}, "pending"),
        ({"stage": "warming_up", "stages": [{"stage": "warming_up", "began_at": 1, "seconds": 2.4}]}, "warming up 2 s"),
        ({"stage": "ready", "stages": stages(ready=5)}, "ready"),
        ({"stage": "placing", "info": "waiting for 1 GPU"}, "placing (waiting for 1 GPU)"),
        ({"stage": "downloading", "download": None}, "downloading"),
        ({"stage": "downloading", "download": download(0, 0)}, "downloading, 0 B, 0 B/s"),
        ({"stage": "downloading", "download": download(1_250_000, 3_440_000_000, 55e6)},
         "downloading, 1.2 MB of 3.4 GB, 55 MB/s"),
        ({"stage": "downloading", "download": download(999, 12_345_678_900_000, 1500)},
         "downloading, 999 B of 12346 GB, 1.5 kB/s"),
        ({"stage": "loading", "download": download(5, 5)}, "loading"),
    ],
)  # fmt: skip
def test_state_in_words(row: dict[str, Any], text: str) -> None:
    assert state(row) == text


def test_summary_is_of_the_replica_that_was_last() -> None:
    assert summary("m", READY) == (
        "m is ready after 4.5 s: pending 0.2 s, placing 4.4 s, starting 1.5 s, loading 1.5 s, warming up 0.5 s"
    )


@pytest.mark.parametrize("told", [{}, report(), report(replica(stage="ready")), report(replica(), stages=stages(a=1))])
def test_no_summary_of_what_the_server_does_not_tell(told: dict[str, Any]) -> None:
    assert summary("m", told) is None


def test_bars_follow_the_replicas() -> None:
    screen = io.StringIO()
    replicas = [replica(n, stage="loading", info="[weights]", stages=stages(loading=1)) for n in (0, 1)]
    with Bars("m", Console(file=screen, force_terminal=True, width=100)) as bars:
        bars.show({"progress": 0, "stage": "pending", "replicas": []})
        bars.show(report(*replicas))
    last = screen.getvalue().split("m-rep0")[-1]
    assert "m-rep1" in last
    assert "50%" in last
    assert "loading ([weights])" in last
    assert "pending" not in last


def test_bar_of_a_download_has_its_bytes() -> None:
    screen = io.StringIO()
    fetching = replica(stage="downloading", progress=0.3, download=download(5_000_000, 9_000_000, 2_000_000))
    with Bars("m", Console(file=screen, force_terminal=True, width=120)) as bars:
        bars.show(report(fetching, stage="downloading"))
    assert "5.0 MB of 9.0 MB, 2.0 MB/s" in screen.getvalue()
    assert "30%" in screen.getvalue()


@pytest.fixture
def launching(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has the launch tell these reports in turn."""
    monkeypatch.setattr("xinfer.cli.progress.POLL_PERIOD_S", 0.001)
    server.reply("POST", "/v1/models", {"model_uid": "m"})

    def tell(*reports: dict[str, Any]) -> None:
        server.answer("GET", "/v1/models/m/progress", *map(Answer, reports))

    return tell


def test_lines_where_there_is_no_terminal(run: Run, launching: Callable[..., None]) -> None:
    """One per stage and tenth of a download, then one with all times."""
    parts = [replica(stage="downloading", download=download(done, 1000, 10)) for done in (0, 10, 110, 120, 1000)]
    placing = replica(stage="placing", info="waiting for 1 GPU")
    launching(report(placing), report(placing), *[report(part) for part in parts], READY)
    result = run("launch", "q")
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "m-rep0: placing (waiting for 1 GPU)",
        "m-rep0: downloading, 0 B of 1.0 kB, 10 B/s",
        "m-rep0: downloading, 110 B of 1.0 kB, 10 B/s",
        "m-rep0: downloading, 1.0 kB of 1.0 kB, 10 B/s",
        "m-rep0: ready",
        "m-rep1: ready",
        str(summary("m", READY)),
    ]


def test_json_stays_alone_on_stdout(run: Run, launching: Callable[..., None]) -> None:
    launching(READY)
    assert json.loads(run("launch", "q", "--json").stdout) == {"model_uid": "m", "ready": True}
