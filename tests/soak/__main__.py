"""``python -m tests.soak``: a cluster under load while its parts are killed.

``SOAK_MINUTES`` (10), ``SOAK_KILL_SECONDS`` (30), ``SOAK_SEED`` (random) and ``SOAK_JSON`` (build/soak.json) change it.
Exits with 0 if all goals are met, 1 if one is missed, 2 if the test itself went wrong.
"""

from __future__ import annotations

import sys
import time

from tests.soak.run import soak
from tests.soak.settings import SoakSettings, json_path


def main() -> int:
    """Run the test, print its report and write it as JSON."""
    began = time.monotonic()
    settings = SoakSettings.from_environment()
    path = json_path()
    logs = path.with_suffix(".logs")
    report = soak(settings, lambda line: print(f"{time.monotonic() - began:6.0f} s  {line}", flush=True), logs)

    print()
    for line in report.lines():
        print(line)
    report.write_json(path)
    print(f"\nwritten to {path}, the cluster's logs to {logs}")

    if report.sanity_errors:
        print("The test itself went wrong: " + "; ".join(report.sanity_errors), file=sys.stderr)
        return 2
    if report.missed:
        print("Goals missed: " + ", ".join(goal.name for goal in report.missed), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
