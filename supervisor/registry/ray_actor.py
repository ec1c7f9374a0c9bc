"""The registry's Ray actor.

Ray imports this module in every process that holds the actor's handle, which each replica's does: so it imports nothing itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xinfer.settings import EngineSettings


# Ray names the process after the class.
class Registry:
    """Passes calls to the registry itself, which only the actor's own process imports."""

    def __init__(self, settings: EngineSettings, supervisors_per_node: int | None = None) -> None:
        from supervisor.registry.process import RegistryProcess

        self._registry = RegistryProcess(settings, supervisors_per_node)

    async def call(self, method: str, *args: Any) -> Any:
        """What the registry's ``method`` returns or raises."""
        return await getattr(self._registry, method)(*args)
