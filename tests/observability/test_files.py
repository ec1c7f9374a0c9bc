"""The files in deploy/monitoring are what the package makes, and Grafana and Prometheus would read them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from tests.conftest import ROOT
from tests.observability.prometheus import binary
from xinfer.cli.metrics import metrics
from xinfer.monitoring.dashboards import DASHBOARDS
from xinfer.monitoring.files import monitoring_files
from xinfer.monitoring.panels import Dashboard
from xinfer.monitoring.prometheus_config import prometheus_config
from xinfer.monitoring.rules import RULES

FOLDER = ROOT / "deploy" / "monitoring"


def test_files_are_those_that_the_package_makes() -> None:
    """`xinfer metrics files deploy/monitoring` makes them anew."""
    kept = {str(path.relative_to(FOLDER)): path.read_text() for path in FOLDER.rglob("*") if path.is_file()}
    assert kept == monitoring_files()


def test_command_writes_them(tmp_path: Path) -> None:
    done = CliRunner().invoke(metrics, ["files", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert {str(path.relative_to(tmp_path)) for path in map(Path, done.output.split())} == set(monitoring_files())
    for name, text in monitoring_files().items():
        assert (tmp_path / name).read_text() == text


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda each: each.uid)
def test_dashboard(dashboard: Dashboard) -> None:
    """Ids are unique, and no panel lies on another one or beside the board."""
    board = json.loads(dashboard.render())
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    names = {variable["name"] for variable in board["templating"]["list"]}
    assert names == {"datasource", *(variable.name for variable in dashboard.variables)}
    for name in ("model", "key"):
        assert (name in names) == (f"${name}" in dashboard.render())


def test_each_alert_says_what_to_do() -> None:
    assert len(RULES) >= 10
    assert len({rule.name for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.action.endswith(".")
        assert len(rule.action) > 40, rule.name


@pytest.mark.parametrize("key", [None, "/etc/prometheus/xinfer.key"])
def test_config_is_valid(tmp_path: Path, key: str | None) -> None:
    (tmp_path / "rules.yml").write_text(monitoring_files()["rules.yml"])
    config = tmp_path / "prometheus.yml"
    config.write_text(prometheus_config("http://127.0.0.1:9997", interval_s=0.5, api_key_file=key))
    argv = [binary("promtool"), "check", "config", "--syntax-only", str(config)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_key_goes_to_what_asks_for_it() -> None:
    text = prometheus_config("https://llm.example", api_key_file="/key", ca_file="/ca.pem")
    jobs = {job["job_name"]: job for job in yaml.safe_load(text)["scrape_configs"]}
    assert {name for name, job in jobs.items() if "authorization" in job} == {"xinfer-supervisor", "xinfer-haproxy"}
    assert {job["http_sd_configs"][0]["tls_config"]["ca_file"] for job in jobs.values()} == {"/ca.pem"}
    assert not any("scheme" in job for job in jobs.values()), "TLS is HAProxy's"
    credentials = {"type": "Bearer", "credentials_file": "/key"}
    assert all(job["http_sd_configs"][0]["authorization"] == credentials for job in jobs.values())
    assert all(jobs[name]["authorization"] == credentials for name in ("xinfer-supervisor", "xinfer-haproxy"))
    assert "authorization" not in prometheus_config("http://127.0.0.1:9997")
