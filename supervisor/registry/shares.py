"""How supervisors share the limits of a key: by the requests that come to each."""

from __future__ import annotations

from collections.abc import Mapping

_MEMORY = 0.8
"""What is left of a supervisor's demand with each of its reports."""
_FORGET_S = 10.0
_EVEN_PART = 0.04
"""Of the limits, what is shared evenly: so that none is without, wherever the next request comes."""


class Shares:
    """The demand for each key at each supervisor, lately."""

    def __init__(self) -> None:
        self._demand: dict[str, dict[str, tuple[float, float]]] = {}
        self._supervisors: dict[str, float] = {}

    def hear(self, supervisor: str, demand: Mapping[str, int], now: float) -> None:
        """A supervisor has had so many requests of each key since its last report."""
        self._supervisors[supervisor] = now
        for key_id, requests in demand.items():
            known = self._demand.setdefault(key_id, {})
            before, _ = known.get(supervisor, (0.0, now))
            known[supervisor] = (before * _MEMORY + requests, now)

    def of(self, key_id: str, supervisor: str, now: float) -> float | None:
        """The part of the key's limits that is this supervisor's; None if nothing is known."""
        known = self._demand.get(key_id, {})
        living = [name for name, at in self._supervisors.items() if now - at < _FORGET_S]
        recent = {name: amount for name, (amount, at) in known.items() if now - at < _FORGET_S and name in living}
        total = sum(recent.values())
        if not total or supervisor not in living:
            return None
        return _EVEN_PART / len(living) + (1 - _EVEN_PART) * recent.get(supervisor, 0.0) / total
