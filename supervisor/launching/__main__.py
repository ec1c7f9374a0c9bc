"""``python -m supervisor.launching JSON GPUS``: what a cluster on this machine with GPUS GPUs makes of a launch request.

Prints the model's record as JSON, or the body of an error with its status under ``status``, and then exits with 1. It is for
programs such as ``xinfer bench-launch``, which do not import Ray.
"""

from __future__ import annotations

import json
import sys

import msgspec

from supervisor.launching.launch_request import LaunchRequest
from supervisor.launching.resolve import resolve
from supervisor.nodes import gpu_inventory
from xinfer.errors import XinferError


def main(words: list[str]) -> int:
    """The exit code."""
    body, gpus = words
    try:
        request = LaunchRequest.read(json.loads(body))
        spec = resolve(request, uids=(), nodes=gpu_inventory.this_machine(int(gpus)))
    except XinferError as error:
        print(json.dumps({"status": error.status, "body": error.body()}))
        return 1
    print(msgspec.json.encode(spec).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
