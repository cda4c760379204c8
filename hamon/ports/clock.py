"""Time. The rules of every port are in :mod:`hamon.ports`."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Time. Injected so that the simulator can own it."""

    def now_s(self) -> float:
        """Return CLOCK_BOOTTIME in seconds."""
        ...

    def wall(self) -> str:
        """Return the UTC wall-clock time, ISO 8601 with milliseconds; for humans only (S20)."""
        ...

    async def sleep(self, duration_s: float) -> None:
        """Return after ``duration_s`` (at once if it is not positive)."""
        ...
