"""Has an engine of one process make one group of processes, where vLLM makes a dozen.

vLLM has groups for tensor, pipeline, data and expert parallelism, with two of PyTorch's each. One of Gloo's has a thread
that wakes a hundred times a second: 13 of them took 2 % of a core in an idle engine. For vLLM 0.32.
"""

from __future__ import annotations

import functools
from typing import Any

_VERSIONS = ("0.32.",)
_GLOO = "gloo"


def share_lone_groups() -> None:
    """Have ``torch.distributed`` make one Gloo group and give it to all who ask for one, in a world of one process."""
    import torch.distributed
    import vllm

    if not vllm.__version__.startswith(_VERSIONS):
        return
    make, destroy = torch.distributed.new_group, torch.distributed.destroy_process_group
    shared: list[Any] = []

    @functools.wraps(make)
    def make_or_share(ranks: Any = None, *args: Any, backend: Any = None, **kwargs: Any) -> Any:
        alone = torch.distributed.get_world_size() == 1
        if not alone or (backend or torch.distributed.get_backend()) != _GLOO:
            return make(ranks, *args, backend=backend, **kwargs)
        if not shared:
            shared.append(make(ranks, *args, backend=backend, **kwargs))
        return shared[0]

    @functools.wraps(destroy)
    def destroy_unless_shared(group: Any = None) -> None:
        # It goes with the world, whose end is that of all groups.
        if group is None:
            shared.clear()
        if group not in shared:
            destroy(group)

    torch.distributed.new_group = make_or_share
    torch.distributed.destroy_process_group = destroy_unless_shared
