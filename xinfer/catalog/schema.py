"""The JSON Schema of a family's file, for editors and for whoever writes such files by program.

``python -m xinfer.catalog.schema`` writes it anew from the classes of ``xinfer.catalog.family``. It tells the fields and their
kinds; which of them go together is for the classes to say.
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
