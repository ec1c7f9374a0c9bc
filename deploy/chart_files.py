"""Writes what the Helm chart has of xinfer's own, since Helm reads its own folder alone: boards, alerts, and a model's schema.

``.venv/bin/python deploy/chart_files.py``; a test says when it has to be run.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from xinfer.declared.schema import models_schema
from xinfer.monitoring.files import monitoring_files

CHART = Path(__file__).resolve().parent / "helm" / "xinfer"
_VALUES_SCHEMA = "values.schema.json"
_MODEL = "DeclaredModel"


def chart_files() -> dict[str, str]:
    """The text of each file, by its path in the chart."""
    known = monitoring_files()
    files = {name: text for name, text in known.items() if name.startswith("dashboards/") or name == "rules.yml"}
    return {**files, _VALUES_SCHEMA: _with_model((CHART / _VALUES_SCHEMA).read_text())}


def _with_model(values_schema: str) -> str:
    """The schema of the values with that of a model, which is on a line of its own."""
    model = json.loads(models_schema())["$defs"][_MODEL]
    line = f'    "{_MODEL}": {json.dumps(model)},'
    return re.sub(rf'^    "{_MODEL}": .*$', lambda _: line, values_schema, flags=re.MULTILINE)


if __name__ == "__main__":
    for name, text in chart_files().items():
        (CHART / name).write_text(text)
