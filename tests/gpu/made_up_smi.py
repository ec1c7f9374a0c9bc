"""Stands in for NVIDIA's command where there is no GPU, so that a turn can be rehearsed.

One made-up GPU. The processes on it are engines, its used memory is what those have for themselves of the machine's, and it is
busy as far as they keep one core busy: numbers that move as a GPU's would, and are no GPU's.
"""

import contextlib
import sys
import time

import psutil

_MIB = 1024**2
_UUID = "GPU-00000000-0000-0000-0000-000000000000"
_ENGINE = ("VLLM::EngineCore", "VLLM::Worker", "worker.engine_server", "vllm.entrypoints")
_REHEARSAL = "XINFER_GPU_REHEARSAL"
_HEAD = ("index", "uuid", "name", "driver_version", "memory.total", "compute_cap")
_FACTS = dict(zip(_HEAD, ("0", _UUID, "made up for a rehearsal", "none", "24576", "9.0"), strict=True))


def engines():
    """Processes of this rehearsal's engines; the warm host is none."""
    for process in psutil.process_iter(["cmdline", "environ"]):
        title = " ".join(process.info["cmdline"] or ())
        if any(name in title for name in _ENGINE) and _REHEARSAL in (process.info["environ"] or ()):
            yield process


def used_mib():
    total = 0
    for process in engines():
        with contextlib.suppress(psutil.Error):
            total += process.memory_full_info().uss
    return total // _MIB


def busy():
    """Of one core, in a tenth of a second."""
    found = list(engines())
    try:
        for process in found:
            process.cpu_percent()
        time.sleep(0.1)
        return round(min(100.0, sum(process.cpu_percent() for process in found)))
    except psutil.Error:
        return 0


def value(field):
    if field == "memory.used":
        return str(used_mib())
    if field == "memory.free":
        return str(int(_FACTS["memory.total"]) - used_mib())
    if field == "utilization.gpu":
        return str(busy())
    return _FACTS.get(field, "[N/A]")


def tell(fields):
    print(", ".join(value(field) for field in fields), flush=True)


def main():
    options = dict(word.partition("=")[::2] for word in sys.argv[1:] if word.startswith("--"))
    fields = options.get("--query-gpu", "").split(",")
    if "--version" in options:
        print("CUDA Version        : 13.0")
    elif "--query-compute-apps" in options:
        for process in engines():
            print(f"{process.pid}, {_UUID}")
    elif "--query-gpu" not in options:
        sys.exit("made up for a rehearsal: only queries are answered")
    elif period_ms := options.get("--loop-ms"):
        while True:
            tell(fields)
            time.sleep(int(period_ms) / 1000)
    else:
        tell(fields)


main()
