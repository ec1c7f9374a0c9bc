"""How the fake engine is started, in place of vLLM's command line."""

from __future__ import annotations

import json
import sys

from xinfer.messages import ModelSpec
from xinfer.settings import EngineSettings


def fake_argv(spec: ModelSpec, _settings: EngineSettings, host: str, port: int) -> list[str]:
    """The command that serves ``spec`` by the fake engine; ``spec.engine_args`` are the fields of ``Behaviour``."""
    behaviour = json.dumps(spec.engine_args)
    context_length = str(spec.context_length or 4096)
    return [sys.executable, "-m", "worker.fake.server", host, str(port), spec.uid, context_length, behaviour]
