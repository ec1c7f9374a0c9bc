"""The other way to ask for a launch: by the one string that Xinference makes of a family, a size, a format and a quantization."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from supervisor.launching.launch import read_fields
from xinfer.errors import LaunchRefused

_PARTS = 4
_UNKNOWN = "?"


class VersionRequest(BaseModel):
    """The body of ``POST /v1/models/instance``."""

    model_config = ConfigDict(protected_namespaces=())

    model_version: str
    model_uid: str | None = None
    model_engine: str | None = None
    model_type: str | None = "LLM"
    replica: int | None = 1
    n_gpu: int | float | str | None = "auto"
    replica_config: Any = None

    @classmethod
    def read(cls, body: dict[str, Any]) -> VersionRequest:
        """Check ``body``; ``LaunchRefused`` names the first field that is wrong."""
        return read_fields(cls, body)

    def as_launch(self) -> dict[str, Any]:
        """The body of ``POST /v1/models`` that asks for the same."""
        parts = self.model_version.split("--")
        if len(parts) != _PARTS or not parts[1].endswith("B"):
            raise LaunchRefused(
                f"model_version={self.model_version[:200]!r}: expected name--sizeB--format--quantization, as in "
                "GET /v1/models/LLM/{name}/versions.",
                param="model_version",
            )
        name, size, model_format, quantization = parts
        known = {"model_size_in_billions": size.removesuffix("B"), "model_format": model_format}
        given = {field: value for field, value in known.items() if value != _UNKNOWN}
        others = self.model_dump(exclude={"model_version"})
        return {"model_name": name, "quantization": quantization, **given, **others}
