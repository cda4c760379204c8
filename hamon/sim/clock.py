"""The loop's virtual time as :class:`hamon.ports.Clock`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

_BEGINNING = datetime(2030, 1, 1, tzinfo=UTC)


class VirtualClock:
    """The same for every machine of a world: what differs between them is when they see things."""

    def now_s(self) -> float:
        """Return the virtual seconds since the world began."""
        return asyncio.get_running_loop().time()

    def wall(self) -> str:
        """Return a made-up UTC wall-clock time that runs with the virtual one."""
        now = _BEGINNING + timedelta(seconds=self.now_s())
        return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    async def sleep(self, duration_s: float) -> None:
        """Return after ``duration_s`` virtual seconds (at once if it is not positive)."""
        await asyncio.sleep(max(0.0, duration_s))
