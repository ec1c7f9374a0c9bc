"""Which supervisors read the table, and how far each of them is: a plain class without Ray or clock."""

from __future__ import annotations

_SILENCE_S = 6.0
"""A supervisor asks for the next table at least every five seconds; one that has been silent for longer is not waited for."""


class TableReaders:
    """Times are seconds of any clock that does not go back."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[int, float]] = {}

    def hear(self, supervisor: str, version: int, now: float) -> None:
        """This supervisor acts on the table of ``version``."""
        self._heard[supervisor] = (version, now)

    def all_have(self, version: int, now: float) -> bool:
        """True if every supervisor that is there acts on the table of ``version`` or a later one."""
        self._heard = {name: heard for name, heard in self._heard.items() if now - heard[1] < _SILENCE_S}
        return all(known >= version for known, _ in self._heard.values())
