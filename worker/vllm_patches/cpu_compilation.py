"""Has vLLM load what it compiled for a CPU in an earlier start, where it would compile it again each time.

vLLM writes the compiled model to its cache and, on the next start, reads it and calls ``finalize_loading`` on it. Only what
vLLM's own backend makes for GPUs has that method. On CPUs the model is compiled by plain inductor, the call fails, and the
model is compiled anew: 10 s for ``tiny-chat`` on two cores, where loading takes half a second. And PyTorch has the C++ compiler
read its headers before it finds out that nothing is to be compiled: another half second. For vLLM 0.32.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_VERSIONS = ("0.32.",)
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


def _nothing_left_to_load(config: Any) -> None:
    """Inductor's artifacts are complete once they are unpickled."""
