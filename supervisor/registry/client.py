"""How the other parts of the supervisor speak to the registry."""

from __future__ import annotations

from typing import Any

import ray

from xinfer.errors import Unavailable
from xinfer.names import NAMESPACE, REGISTRY


async def ask(method: str, *args: Any) -> Any:
    """What ``Registry.<method>(*args)`` returns. Its errors are raised as they are; ``Unavailable`` while it is away."""
    try:
        registry: Any = ray.get_actor(REGISTRY, namespace=NAMESPACE)
        return await getattr(registry, method).remote(*args)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except (ValueError, ray.exceptions.RayError):
        raise Unavailable("The registry is restarting; try again in a moment.", retry_after_s=2) from None
