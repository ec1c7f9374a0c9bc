"""The model that is launched, by xinfer and by bare vLLM alike."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec

from xinfer.bench import machine
from xinfer.errors import InternalError, from_response
from xinfer.messages import ModelSpec

BUNDLED = "tiny-chat"
_PROMPT = "What is the largest animal?"
_SAMPLING = {"max_tokens": 8, "temperature": 0}


@dataclass(frozen=True)
class Subject:
    """What to launch: a name of the catalog, or a folder or hub id under that name."""

    name: str = BUNDLED
    model_path: str | None = None
    n_gpu: int | float | str | None = None
    engine_args: Mapping[str, Any] = field(default_factory=dict)

    def launch(self, uid: str) -> dict[str, Any]:
        """Arguments of the client's ``launch_model``, which are also fields of the request."""
        return {
            "model_name": self.name,
            "model_uid": uid,
            "model_path": self.model_path,
            "n_gpu": self.n_gpu,
            **self.engine_args,
        }

    @cached_property
    def spec(self) -> ModelSpec:
        """The model as a cluster on this machine would launch it; ``LaunchRefused`` if it would not."""
        gpus = len(machine.facts()["gpus"])
        # In a process of its own, since the supervisor's package imports Ray and this one must not.
        words = ["-m", "supervisor.launching", json.dumps(self.launch("bare")), str(gpus)]
        done = subprocess.run([sys.executable, *words], stdout=subprocess.PIPE, check=False)
        if done.returncode == 0:
            return msgspec.json.decode(done.stdout, type=ModelSpec)

        try:
            refusal = json.loads(done.stdout)
        except ValueError:
            raise InternalError("The launch could not be resolved; the reason is above.") from None
        raise from_response(refusal["status"], refusal["body"])

    def request(self, url: str, uid: str) -> tuple[str, dict[str, Any]]:
        """URL and body of a request for a few tokens: a chat, or a completion if the model does not chat."""
        if "chat" in self.spec.abilities:
            messages = [{"role": "user", "content": _PROMPT}]
            return f"{url}/v1/chat/completions", {"model": uid, "messages": messages, **_SAMPLING}
        return completion(url, uid)


def completion(url: str, uid: str) -> tuple[str, dict[str, Any]]:
    """URL and body of a request for a few tokens of a completion."""
    return f"{url}/v1/completions", {"model": uid, "prompt": _PROMPT, **_SAMPLING}
