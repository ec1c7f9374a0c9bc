"""Has vLLM load what it compiled for a CPU in an earlier start, where it would compile it again each time.

vLLM writes the compiled model to its cache and, on the next start, reads it and calls ``finalize_loading`` on it. Only what
vLLM's own backend makes for GPUs has that method. On CPUs the model is compiled by plain inductor, the call fails, and the
model is compiled anew: 10 s for ``tiny-chat`` on two cores, where loading takes half a second. And PyTorch has the C++ compiler
read its headers before it finds out that nothing is to be compiled: another half second. For vLLM 0.32.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from worker.cpu_model import IS_COMPILED

_VERSIONS = ("0.32.",)
_FEW_TOKENS = 64
_log = logging.getLogger("xinfer.engine")


def load_compiled_models() -> None:
    """Give what PyTorch loads the method that vLLM calls, where it has none and needs none."""
    import torch
    import vllm

    if not vllm.__version__.startswith(_VERSIONS):
        return
    load = torch.compiler.load_compiled_function

    @functools.wraps(load)
    def load_complete(*args: Any, **kwargs: Any) -> Any:
        try:
            with no_header_to_precompile():
                loaded = load(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  # a part of it may have been removed, and is then compiled
            _log.warning("compiled code could not be loaded as it is: %s: %s", type(error).__name__, error)
            loaded = load(*args, **kwargs)
        compiled = loaded._artifacts.compiled_fn
        if not hasattr(compiled, "finalize_loading"):
            compiled.finalize_loading = _nothing_left_to_load
        return loaded

    torch.compiler.load_compiled_function = load_complete


@contextmanager
def no_header_to_precompile() -> Iterator[None]:
    """Spare what is compiled in the block the precompiled header, which serves nothing where all of it is there already."""
    from torch._inductor import codecache

    precompile = codecache._precompile_header
    codecache._precompile_header = lambda *_, **__: None
    try:
        yield
    finally:
        codecache._precompile_header = precompile


def warm_up_shortly() -> None:
    """Have an engine that loads what was compiled begin with a few tokens, and not with as many as fit into a step.

    The first step is there to compile the model, for sizes like its own, and to see how much memory a step takes. Neither is
    wanted where the model is compiled and the KV cache's size is given, as xinfer gives it.
    """
    import vllm
    from vllm.platforms import current_platform

    known = vllm.__version__.startswith(_VERSIONS)
    if not known or not current_platform.is_cpu() or os.environ.get(IS_COMPILED) != "1":
        return
    runner: Any = importlib.import_module("vllm.v1.worker.cpu_model_runner").CPUModelRunner
    warm_up = runner.warming_up_model

    @functools.wraps(warm_up)
    def warm_up_with_few(self: Any) -> None:
        most = self.max_num_tokens
        self.max_num_tokens = min(most, _FEW_TOKENS)
        try:
            warm_up(self)
        finally:
            self.max_num_tokens = most

    runner.warming_up_model = warm_up_with_few


def _nothing_left_to_load(config: Any) -> None:
    """Inductor's artifacts are complete once they are unpickled."""
