"""Rates as one process sees them."""

from collections import OrderedDict
from typing import Protocol

from maestro_ml.limits.rates import Tap

_REMEMBERED = 100_000


class Meters(Protocol):
    """Where rates are counted. Each `take` is one step: of forty at once, as many as may get 0."""

    async def wait(self, tap: Tap, now: float, ahead: int = 0) -> float:
        """Seconds until there is room for one, behind `ahead` others; nothing is counted."""

    async def take(self, tap: Tap, now: float) -> float:
        """Count one. Otherwise the seconds until there is room, and nothing is counted."""


class MemoryMeters:
    """Forgets with the process, and beyond a great many whoever came longest ago."""

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._until: OrderedDict[str, float] = OrderedDict()
        self._remembered = remembered

    async def wait(self, tap: Tap, now: float, ahead: int = 0) -> float:
        return tap.rate.wait(self._remembered_of(tap, now), now, ahead)

    async def take(self, tap: Tap, now: float) -> float:
        until = self._remembered_of(tap, now)
        wait = tap.rate.wait(until, now)
        if not wait:
            self._until[tap.key] = max(until, now) + tap.rate.step
            self._until.move_to_end(tap.key)
            if len(self._until) > self._remembered:
                self._until.popitem(last=False)
        return wait

    def _remembered_of(self, tap: Tap, now: float) -> float:
        until = self._until.get(tap.key, 0.0)
        if until > tap.rate.latest(now):
            until = self._until[tap.key] = tap.rate.latest(now)
        return until
