"""Something to wait for: a wake-up, or a time."""

from __future__ import annotations

import asyncio

from hamon.ports.clock import Clock


class Wake:
    """Collects wake-ups; many before a wait count as one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._event = asyncio.Event()

    def set(self, *_: object) -> None:
        """Wake whoever waits. Takes and ignores what callbacks bring."""
        self._event.set()

    async def wait(self, timeout_s: float) -> None:
        """Return at the next wake-up (or at once after one that nobody saw), or after a time."""
        woken = asyncio.ensure_future(self._event.wait())
        elapsed = asyncio.ensure_future(self._clock.sleep(timeout_s))
        try:
            await asyncio.wait({woken, elapsed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (woken, elapsed):
                task.cancel()
            await asyncio.gather(woken, elapsed, return_exceptions=True)
        self._event.clear()
