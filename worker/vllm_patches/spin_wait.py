"""How an engine's processes wait for each other."""

from __future__ import annotations

import os
import time

_NAP_S = 0.00002
# The engine core, and a worker.
_SPINNERS = 2


def leave_cores_to_others() -> None:
    """Where an engine's processes would take all cores by waiting, have them take naps instead.

    Engine core and worker wait for each other in a loop of ``sched_yield``, for up to a second
    after the last step. On two cores that is both of them: on Linux 6.18 everything else on the
    machine, the engine's own server included, was seen waiting for seconds. A nap costs a step
    about a tenth of a millisecond.
    """
    if len(os.sched_getaffinity(0)) > _SPINNERS:
        return
    from vllm.distributed.device_communicators import shm_broadcast

    shm_broadcast.sched_yield = _nap


def _nap() -> None:
    time.sleep(_NAP_S)
