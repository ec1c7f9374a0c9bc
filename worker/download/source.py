"""What is to be downloaded for one launch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from worker.memory.limits import argument
from xinfer.messages import ModelSpec

_HUB_ID = re.compile(r"(\b[\w.-]{1,96}\b/)?\b[\w.-]{1,96}\b", re.ASCII)
# vLLM's default.
_IGNORED = ("original/**/*",)
_TRUE = ("1", "ON", "YES", "TRUE")


@dataclass(frozen=True, slots=True)
class Source:
    """A model as an engine is told to load it; the fields beside the first two are vLLM's
    arguments of those names.
    """

    repo: str
    """A hub id, unless it is a folder or something else that only the engine understands."""
    revision: str | None = None
    load_format: str = "auto"
    download_dir: str | None = None
    """The cache that weights go to; None is the one that the environment names, where all other
    files go.
    """
    ignore_patterns: tuple[str, ...] = _IGNORED

    @classmethod
    def of(cls, spec: ModelSpec) -> Source:
        ignored = argument(spec, "ignore_patterns", _IGNORED)
        return cls(
            spec.path,
            spec.revision,
            str(argument(spec, "load_format", "auto")).lower(),
            argument(spec, "download_dir"),
            (ignored,) if isinstance(ignored, str) else tuple(ignored),
        )

    @classmethod
    def from_json(cls, text: str) -> Source:
        fields = json.loads(text)
        return cls(**{**fields, "ignore_patterns": tuple(fields["ignore_patterns"])})

    def to_json(self) -> str:
        """All fields, for a command line."""
        return json.dumps(asdict(self))

    def is_on_hub(self, env: Mapping[str, str]) -> bool:
        """Whether an engine with the environment ``env`` would ask the Hugging Face hub for it."""
        offline = env.get("HF_HUB_OFFLINE") or env.get("TRANSFORMERS_OFFLINE") or ""
        elsewhere = env.get("VLLM_USE_MODELSCOPE", "")
        if any(value.upper() in _TRUE for value in (offline, elsewhere)):
            return False
        return _is_hub_id(self.repo) and not Path(self.repo).exists()


def _is_hub_id(path: str) -> bool:
    """``name`` or ``owner/name`` by the hub's own rules."""
    return bool(_HUB_ID.fullmatch(path)) and not any(("--" in path, ".." in path, path.endswith(".git")))
