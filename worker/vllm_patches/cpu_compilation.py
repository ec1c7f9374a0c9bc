"""Has vLLM load what it compiled for a CPU in an earlier start, where it would compile it again each time.

vLLM writes the compiled model to its cache and, on the next start, reads it and calls ``finalize_loading`` on it. Only what
vLLM's own backend makes for GPUs has that method. On CPUs the model is compiled by plain inductor, the call fails, and the
model is compiled anew: 10 s for ``tiny-chat`` on two cores, where loading takes half a second. For vLLM 0.32.
"""

from __future__ import annotations

import functools
from typing import Any

_VERSIONS = ("0.32.",)


def load_compiled_models() -> None:
    """Give what PyTorch loads the method that vLLM calls, where it has none and needs none."""
    import torch
    import vllm

    if not vllm.__version__.startswith(_VERSIONS):
        return
    load = torch.compiler.load_compiled_function

    @functools.wraps(load)
    def load_complete(*args: Any, **kwargs: Any) -> Any:
        loaded = load(*args, **kwargs)
        compiled = loaded._artifacts.compiled_fn
        if not hasattr(compiled, "finalize_loading"):
            compiled.finalize_loading = _nothing_left_to_load
        return loaded

    torch.compiler.load_compiled_function = load_complete


def _nothing_left_to_load(config: Any) -> None:
    """Inductor's artifacts are complete once they are unpickled."""
