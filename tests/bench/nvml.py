"""A ``pynvml`` that is made up, for machines without a GPU."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

H100 = {"uuid": "GPU-aaa", "name": "NVIDIA H100 80GB HBM3", "total": 81559, "used": 70000, "busy": 90, "cc": [9, 0]}
GB10 = {"uuid": "GPU-bbb", "name": "NVIDIA GB10", "total": None, "used": None, "busy": 0, "cc": [12, 1]}

_MODULE = """
import json, pathlib, types

FACTS = json.loads((pathlib.Path(__file__).parent / "gpus.json").read_text())
MIB = 1024 ** 2
nvmlMemory_v2 = 2

class NVMLError(Exception):
    pass

def nvmlInit():
    if FACTS["fails"]:
        raise NVMLError("Driver Not Loaded")

def nvmlShutdown():
    pass

def nvmlDeviceGetCount():
    return len(FACTS["gpus"])

def nvmlDeviceGetHandleByIndex(index):
    return FACTS["gpus"][index]

def nvmlDeviceGetUUID(gpu):
    return gpu["uuid"]

def nvmlDeviceGetName(gpu):
    return gpu["name"]

def nvmlDeviceGetMemoryInfo(gpu, version=None):
    if gpu["total"] is None:
        raise NVMLError("Not Supported")
    total, used = gpu["total"], gpu["used"]
    return types.SimpleNamespace(total=total * MIB, used=used * MIB, free=(total - used) * MIB)

def nvmlDeviceGetUtilizationRates(gpu):
    if gpu["busy"] is None:
        raise NVMLError("Not Supported")
    return types.SimpleNamespace(gpu=gpu["busy"])

def nvmlDeviceGetCudaComputeCapability(gpu):
    return gpu["cc"]

def nvmlSystemGetDriverVersion():
    return "580.159.04"

def nvmlSystemGetCudaDriverVersion():
    return FACTS["cuda"]
"""


def made_up_nvml(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    gpus: Sequence[dict[str, Any]] = (H100, GB10),
    *,
    fails: bool = False,
    cuda: int = 13000,
) -> None:
    """This process and those it starts see ``gpus``; ``total`` and ``used`` are in MiB."""
    (folder / "pynvml.py").write_text(_MODULE)
    (folder / "gpus.json").write_text(json.dumps({"gpus": list(gpus), "fails": fails, "cuda": cuda}))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{os.environ.get('PYTHONPATH', '')}")
