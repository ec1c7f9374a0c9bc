"""``python -m worker.bare_command SPEC HOST PORT``: vLLM's own server with the arguments and variables of a worker's engine.

Prints ``{"argv": [...], "env": {...}}`` as JSON. It is for ``xinfer bench-launch``, which compares a launch with bare vLLM.
"""

from __future__ import annotations

import json
import sys

import msgspec

from worker.command import MIDDLEWARE, engine_argv, engine_env
from xinfer.messages import ModelSpec
from xinfer.settings import EngineSettings

_SERVER = "vllm.entrypoints.openai.api_server"


def bare_argv(spec: ModelSpec, host: str, port: int) -> list[str]:
    """The worker's command with vLLM's own module in it, and without our middleware."""
    argv = engine_argv(spec, EngineSettings.from_environment(), host, port)
    module = argv.index("-m") + 1
    words = argv[module + 1 :]
    place = words.index(MIDDLEWARE) - 1
    return [*argv[:module], _SERVER, *words[:place], *words[place + 2 :]]


def main(words: list[str]) -> None:
    """Print the command."""
    text, host, port = words
    spec = msgspec.json.decode(text, type=ModelSpec)
    command = {
        "argv": bare_argv(spec, host, int(port)),
        "env": engine_env(spec, EngineSettings.from_environment()),
    }
    print(json.dumps(command))


if __name__ == "__main__":
    main(sys.argv[1:])
