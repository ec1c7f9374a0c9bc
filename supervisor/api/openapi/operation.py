"""What the document says of one method of one path."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
_IN_PATH = re.compile(r"\{(\w+)\}")
_NUMBERS = frozenset({"replica_id"})


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. Types stand for the schemas that pydantic makes of them."""

    method: str
    path: str
    summary: str
    reply: Any = None
    """A type, or a JSON Schema; None is JSON's ``null``."""
    query: dict[str, Schema] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    """Those of ``query`` that have to be there."""
    body: Any = None
    """A type, or a JSON Schema; None takes no body."""
    body_required: bool = True
    streams: bool = False
    """Whether the answer may be a stream of events."""
    content_type: str = "application/json"
    answers: bool = True
    """False where there never is a good answer, only an error with a sentence."""

    @property
    def key(self) -> tuple[str, str]:
        return self.method, self.path

    @property
    def types(self) -> list[Any]:
        """The types whose schemas are needed."""
        return [each for each in (self.reply, self.body) if each is not None and not isinstance(each, dict)]

    @property
    def parameters(self) -> list[Schema]:
        """Those in the path, then those in the query."""
        names = _IN_PATH.findall(self.path)
        in_path = [
            {"name": name, "in": "path", "required": True, "schema": _path_schema(name), "description": _WORDS[name]}
            for name in names
        ]
        in_query = [
            {"name": name, "in": "query", "required": name in self.required, "schema": schema}
            for name, schema in self.query.items()
        ]
        return [*in_path, *in_query]


_WORDS = {
    "uid": "The model's UID.",
    "type": "LLM, in any case; there are no others.",
    "name": "A family of the catalog.",
    "replica_id": "The replica's number, counted from 0.",
    "request_id": "A request's id.",
    "response_id": "A response's id.",
}


def _path_schema(name: str) -> Schema:
    if name in _NUMBERS:
        return {"type": "integer", "minimum": 0}
    return TEXT
