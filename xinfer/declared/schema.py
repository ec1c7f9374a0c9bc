"""The JSON Schema of the file of declared models, for editors: ``python -m xinfer.declared.schema`` writes it.

It has the fields and their types; what goes together is checked by the classes of ``xinfer.declared.file`` alone.
"""

from __future__ import annotations

import json
from pathlib import Path

from xinfer.declared.file import ModelsFile

SCHEMA_FILE = Path(__file__).parent / "models.schema.json"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def models_schema() -> str:
    """The schema as the text of ``SCHEMA_FILE``."""
    return json.dumps({"$schema": _DIALECT, **ModelsFile.model_json_schema()}, indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(models_schema(), encoding="utf-8")
