"""The files of ``deploy/monitoring``: rules, dashboards, and what has Grafana load them."""

from __future__ import annotations

from pathlib import Path

import yaml

from xinfer.monitoring.dashboards import DASHBOARDS
from xinfer.monitoring.prometheus_config import RULES_FILE
from xinfer.monitoring.rules import rules_file

DASHBOARD_FOLDER = "/var/lib/grafana/dashboards/xinfer"
"""Where Grafana looks for the dashboards: copy them there, or change the path in the provider's file."""
_DATASOURCE = {
    "apiVersion": 1,
    "datasources": [
        {
            "name": "Prometheus",
            "type": "prometheus",
            "access": "proxy",
            "url": "http://localhost:9090",
            "isDefault": True,
        }
    ],
}
_PROVIDER = {
    "apiVersion": 1,
    "providers": [{"name": "xinfer", "folder": "xinfer", "type": "file", "options": {"path": DASHBOARD_FOLDER}}],
}


def monitoring_files() -> dict[str, str]:
    """The text of each file, by its path below the folder."""
    dashboards = {f"dashboards/{each.uid}.json": each.render() for each in DASHBOARDS}
    return {
        RULES_FILE: rules_file(),
        **dashboards,
        "provisioning/datasources/xinfer.yml": yaml.safe_dump(_DATASOURCE, sort_keys=False),
        "provisioning/dashboards/xinfer.yml": yaml.safe_dump(_PROVIDER, sort_keys=False),
    }


def write_files(folder: Path) -> list[Path]:
    """Write all of them below ``folder``, over what is there; returns their paths."""
    written: list[Path] = []
    for name, text in monitoring_files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        written.append(path)
    return written
