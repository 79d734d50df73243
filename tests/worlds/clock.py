"""A clock that tests set."""

from __future__ import annotations

from datetime import datetime, timedelta


class Clock:
    """A clock that the test sets. Each look at it takes a millisecond unless told otherwise."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.step = timedelta(milliseconds=1)

    def __call__(self) -> datetime:
        self.now += self.step
        return self.now

    def advance(self, **delta: float) -> None:
        """Let time pass; negative values set the clock back."""
        self.now += timedelta(**delta)

    def stop(self) -> None:
        """From now on only :meth:`advance` moves it."""
        self.step = timedelta(0)
