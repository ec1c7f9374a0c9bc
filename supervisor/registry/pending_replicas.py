"""Replicas that are to go before they have come: Ray has no place for them yet."""

from __future__ import annotations

import ray
from ray._private.state import state
from ray.serve._private.common import REPLICA_ID_FULL_ID_STR_PREFIX
from ray.serve._private.constants import SERVE_NAMESPACE

from xinfer.names import model_app

_UNPLACED = "PENDING_CREATION"


def drop_pending_replicas(uid: str) -> None:
    """End the replicas of this model that wait for a place, of which none has an engine.

    Serve asks them to end themselves, which they cannot hear, and waits for its whole grace period before it gives them up.
    """
    own = f"{REPLICA_ID_FULL_ID_STR_PREFIX}{model_app(uid)}#"
    names = [actor["Name"] for actor in state.actor_table(None, None, _UNPLACED).values()]
    for name in names:
        if name.startswith(own):
            _kill(name)


def _kill(name: str) -> None:
    try:
        ray.kill(ray.get_actor(name, namespace=SERVE_NAMESPACE), no_restart=True)
    except ValueError:  # it is gone
        return
