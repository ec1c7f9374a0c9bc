"""The JSON Schema of a family's file, for editors and for programs that write such files.

``python -m xinfer.catalog.schema`` generates it from the classes of ``xinfer.catalog.family``. It has the fields and
their types; which of them go together is checked by the classes alone.
"""

from __future__ import annotations

import json
from pathlib import Path

from xinfer.catalog.family import Family

SCHEMA_FILE = Path(__file__).parent / "family.schema.json"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def family_schema() -> str:
    """The schema as the text of ``SCHEMA_FILE``."""
    return json.dumps({"$schema": _DIALECT, **Family.model_json_schema()}, indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(family_schema(), encoding="utf-8")
