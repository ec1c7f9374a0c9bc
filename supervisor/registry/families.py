"""The families that people have registered, as a plain class: what may be added, and what the supervisors are told."""

from __future__ import annotations

from collections.abc import Iterable

from xinfer.errors import FamilyRefused, NotFound
from xinfer.messages import Registration

# Of all together: they travel with every table.
_MOST_BYTES = 4 * 1024 * 1024


class Families:
    """Registrations by name, whatever its case. What comes with xinfer is the supervisors' matter, who know it."""

    def __init__(self, kept: Iterable[Registration] = ()) -> None:
        self._by_folded_name = {each.name.casefold(): each for each in kept}

    @property
    def texts(self) -> tuple[str, ...]:
        """All families as JSON, oldest first."""
        return tuple(each.family for each in self._by_folded_name.values())

    def add(self, registration: Registration) -> None:
        """Take one more; ``FamilyRefused`` if its name is taken or there is no room."""
        name = registration.name
        if name.casefold() in self._by_folded_name:
            raise FamilyRefused(
                f"model_name: {name!r} is registered already; `xinfer unregister {name}` frees the name.",
                param="model_name",
            )
        if sum(map(len, (*self.texts, registration.family))) > _MOST_BYTES:
            raise FamilyRefused("There is no room for more families: together they may have 4 MiB as JSON.")
        self._by_folded_name[name.casefold()] = registration

    def remove(self, name: str) -> Registration:
        """Forget one; ``NotFound`` if there is none of that name."""
        found = self._by_folded_name.pop(name.casefold(), None)
        if found is None:
            raise NotFound(
                f"No family {name[:100]!r} is registered. `xinfer registrations` lists them.", param="model_name"
            )
        return found
