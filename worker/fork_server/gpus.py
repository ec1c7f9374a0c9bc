"""Whether one process can import the engine for every GPU of this node."""

from __future__ import annotations


def unlike_gpus() -> str | None:
    """Why not: vLLM asks the first GPU what it can do, and keeps some of that from its imports on. None if all are alike."""
    from vllm.platforms import current_platform

    if not current_platform.is_cuda():
        return None
    found = {current_platform.get_device_capability(number) for number in range(current_platform.device_count())}
    versions = sorted(each.as_version_str() for each in found if each)
    if len(versions) > 1:
        return f"the GPUs of this node differ (compute capability {', '.join(versions)})"
    return None
