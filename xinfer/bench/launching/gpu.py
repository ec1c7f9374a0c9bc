"""Memory of the machine's GPUs, as the driver counts it."""

from __future__ import annotations

from xinfer.nvidia_smi import number, query_gpus, rows

_TIMEOUT_S = 10.0


def used_mib() -> dict[str, int]:
    """In use on each GPU, by whomever; empty on a machine without."""
    told = rows(query_gpus("uuid", "memory.used", timeout_s=_TIMEOUT_S), 2)
    return {uuid: mib for uuid, cell in told if (mib := number(cell)) is not None}
