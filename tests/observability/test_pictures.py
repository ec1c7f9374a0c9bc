"""Dashboards as pictures, from a Prometheus that a test plays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from xinfer.cli.metrics import metrics
from xinfer.errors import Unavailable
from xinfer.monitoring import pictures
from xinfer.monitoring.dashboards import DASHBOARDS, MODEL


def played(_: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    """One series for every query, with a value that is none in the middle."""
    assert "$" not in params["query"], "Grafana's variables are for Grafana"
    values = [[params["start"] + second, str(second)] for second in range(5)]
    values[2][1] = "NaN"
    return [{"metric": {"model": "m"}, "values": values}]


def test_command_draws_each_dashboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_ask", played)
    done = CliRunner().invoke(metrics, ["pictures", str(tmp_path), "--minutes", "1"])
    assert done.exit_code == 0, done.output
    for dashboard in DASHBOARDS:
        assert (tmp_path / f"{dashboard.uid}.png").read_bytes().startswith(b"\x89PNG")


def test_series_are_named_and_leave_out_what_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_ask", played)
    (panel,) = (each for each in MODEL.panels if each.title == "Requests in flight")
    found = pictures._series(panel, "http://x", 100.0, 160.0, 1.0)
    assert [each.name for each in found] == ["m", "m limit"]
    assert (found[0].times, found[0].values) == ([0, 1, 3, 4], [0, 1, 3, 4])


def test_no_prometheus(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no Prometheus at"):
        pictures.draw(MODEL, "http://127.0.0.1:9", tmp_path / "x.png", seconds=60, interval_s=1)
