"""What a launch may ask for, by the scope of its key: models, not the code, the files and the variables of the machine."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from supervisor.access.caller import Caller
from xinfer.access_settings import AccessSettings
from xinfer.engine_args import argument
from xinfer.errors import PermissionRefused
from xinfer.messages import ModelSpec

_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*\Z", re.ASCII)
_NEVER = re.compile(r"(LD_.*|PYTHON.*|PATH|HOME|BASH_ENV|ENV|IFS|SHELL|RAY_.*|XINFER_.*|GCONV_PATH|LOCPATH)\Z")
"""Variables that decide which code runs, or what xinfer's own parts take each other for. No key may set them."""
_ARGUMENTS = frozenset(
    {
        *("max_model_len", "max_num_seqs", "max_num_batched_tokens", "max_logprobs", "seed", "dtype", "block_size"),
        *("gpu_memory_utilization", "kv_cache_memory_bytes", "kv_cache_dtype", "swap_space", "cpu_offload_gb"),
        *("tensor_parallel_size", "pipeline_parallel_size", "enable_expert_parallel", "disable_custom_all_reduce"),
        *("enforce_eager", "enable_prefix_caching", "enable_chunked_prefill", "async_scheduling", "stream_interval"),
        *(
            "scheduling_policy",
            "limit_mm_per_prompt",
            "enable_auto_tool_choice",
            "tool_call_parser",
            "reasoning_parser",
        ),
        *("max_num_partial_prefills", "long_prefill_token_threshold", "disable_log_stats"),
    }
)
"""Arguments of vLLM's that name no file, no module and no address. Others may, so they take an admin's key."""

_FOR_KEYS = {"scheduling_policy": "priority", "enable_prompt_tokens_details": True}
"""Arguments of engines whose requests have keys."""


def check_launch(
    caller: Caller | None,
    settings: AccessSettings | None,
    *,
    model_path: str | None,
    variables: dict[str, str],
    engine_args: dict[str, object],
    trust_remote_code: bool,
) -> None:
    """Raises ``PermissionRefused`` if the caller's key may not launch this. Without keys everything may be launched."""
    if caller is None or settings is None:
        return
    for name in sorted(variables):
        if _NEVER.match(name):
            raise PermissionRefused(f"The variable {name[:100]} may not be set by a launch.", param="envs")
    if caller.is_admin:
        return

    if trust_remote_code:
        raise PermissionRefused("trust_remote_code takes a key of the scope 'admin'.", param="trust_remote_code")
    for name in sorted(set(variables) - set(settings.launch_variables)):
        raise PermissionRefused(
            f"The variable {name[:100]} takes a key of the scope 'admin', or `xinfer start --launch-env {name[:100]}`.",
            param="envs",
        )
    for name in sorted(set(engine_args) - _ARGUMENTS):
        raise PermissionRefused(f"The argument {name[:100]} takes a key of the scope 'admin'.", param=name[:100])
    if model_path:
        _check_path(model_path, settings.model_dirs)


def for_keys(spec: ModelSpec) -> ModelSpec:
    """``spec`` with an engine that heeds the priorities of keys and tells which tokens were cached, unless it says otherwise."""
    if spec.engine != "vllm":
        return spec
    wanted = {name: value for name, value in _FOR_KEYS.items() if argument(spec.engine_args, name) is None}
    return replace(spec, engine_args={**spec.engine_args, **wanted})


def _check_path(path: str, folders: tuple[str, ...]) -> None:
    try:
        is_local = not _HUB_ID.match(path) or Path(path).exists()
        real = Path(path).expanduser().resolve()
    except (OSError, RuntimeError, ValueError):
        is_local = True
        real = Path("/")
    if not is_local:
        return
    # Links are followed first, and so are the folders' own.
    if any(real.is_relative_to(Path(folder).resolve()) for folder in folders):
        return
    raise PermissionRefused(
        "model_path takes a key of the scope 'admin', unless it is below a folder of `xinfer start --model-dir`.",
        param="model_path",
    )
