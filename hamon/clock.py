"""The machine's clock as :class:`hamon.ports.Clock`."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime


class SystemClock:
    """CLOCK_BOOTTIME: it runs on while the machine sleeps, and nobody can set it."""

    def now_s(self) -> float:
        """Return CLOCK_BOOTTIME in seconds."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> str:
        """Return the UTC wall-clock time, ISO 8601 with milliseconds; for humans only (S20)."""
        return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    async def sleep(self, duration_s: float) -> None:
        """Return after ``duration_s`` (at once if it is not positive)."""
        await asyncio.sleep(max(0.0, duration_s))
