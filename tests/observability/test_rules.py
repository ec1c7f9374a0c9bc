"""Each alert rule fires in its scenario, and stays quiet in one that is close to it; Prometheus' own tool plays both."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.observability.prometheus import binary
from tests.observability.scenarios import SCENARIOS, Scenario
from xinfer.monitoring.rules import RULES, rules_file

_PLACEHOLDER = re.compile(r"\{\{.*?\}\}")


def test_each_rule_has_a_scenario() -> None:
    assert {rule.name for rule in RULES} == set(SCENARIOS)


def test_rules_are_valid(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(rules_file())
    done = promtool(tmp_path, "check", "rules", "rules.yml")
    assert f"SUCCESS: {len(RULES)} rules found" in done.stdout, done.stdout + done.stderr


def test_rules_fire_and_stay_quiet(tmp_path: Path) -> None:
    """With the rules as they are, except for the annotations, which contain values that the scenario need not name."""
    rules = yaml.safe_load(rules_file())
    for rule in rules["groups"][0]["rules"]:
        del rule["annotations"]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    tests: list[dict[str, Any]] = []
    for rule in RULES:
        scenario = SCENARIOS[rule.name]
        alert = {"exp_labels": {"severity": rule.severity, **scenario.labels}}
        tests.append(played(rule.name, scenario, scenario.fires, [alert]))
        tests.append(played(rule.name, scenario, scenario.quiet, []))
    (tmp_path / "tests.yml").write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "tests": tests}))
    done = promtool(tmp_path, "test", "rules", "tests.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_annotations_are_rendered(tmp_path: Path) -> None:
    """An error in a template would show in the alert's text only when it fires."""
    (tmp_path / "rules.yml").write_text(rules_file())
    (rule,) = (each for each in RULES if each.name == "XinferModelFailed")
    scenario = SCENARIOS[rule.name]
    text = _PLACEHOLDER.sub("m", rule.summary)
    assert text.startswith("m is given up")
    alert = {
        "exp_labels": {"severity": rule.severity, **scenario.labels},
        "exp_annotations": {"summary": text, "action": rule.action},
    }
    tests = [played(rule.name, scenario, scenario.fires, [alert])]
    (tmp_path / "tests.yml").write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "tests": tests}))
    done = promtool(tmp_path, "test", "rules", "tests.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def played(name: str, scenario: Scenario, series: dict[str, str], alerts: list[dict[str, Any]]) -> dict[str, Any]:
    """One test of promtool's."""
    expected = {"eval_time": f"{scenario.minute}m", "alertname": name, "exp_alerts": alerts}
    return {
        "interval": "1m",
        "input_series": [{"series": each, "values": values} for each, values in series.items()],
        "alert_rule_test": [expected],
    }


def promtool(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([binary("promtool"), *words], cwd=folder, capture_output=True, text=True, timeout=120)
