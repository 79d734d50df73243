"""Waking those who wait for news: long polls of the inbox, one bell per unit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from pki.names import UnitId


class Bell:
    """Rings after a release; whoever waits reads again. It carries no news itself, so none can be lost."""

    def __init__(self) -> None:
        self._waiting: dict[UnitId, set[asyncio.Event]] = {}
        self._closed = False

    def ring(self, units: Iterable[UnitId]) -> None:
        """Wake whoever waits for one of the units."""
        for unit in units:
            for event in self._waiting.get(unit, ()):
                event.set()

    def listen(self, unit: UnitId) -> Listener:
        """Begin to listen; do so before reading, so that nothing falls between."""
        return Listener(self, unit)

    def close(self) -> None:
        """Wake everybody for good: the hub is stopping."""
        self._closed = True
        for events in self._waiting.values():
            for event in events:
                event.set()


class Listener:
    """One who waits."""

    def __init__(self, bell: Bell, unit: UnitId) -> None:
        self._bell = bell
        self._unit = unit
        self._event = asyncio.Event()

    def __enter__(self) -> Listener:
        self._bell._waiting.setdefault(self._unit, set()).add(self._event)
        return self

    def __exit__(self, *_exc: object) -> None:
        events = self._bell._waiting[self._unit]
        events.discard(self._event)
        if not events:
            del self._bell._waiting[self._unit]

    async def wait(self, seconds: float) -> bool:
        """Whether the bell rang within that time; listens anew afterwards."""
        if self._bell._closed:
            return False
        try:
            await asyncio.wait_for(self._event.wait(), seconds)
        except TimeoutError:
            return False
        self._event.clear()
        return not self._bell._closed
