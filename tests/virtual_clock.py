"""A clock that a test moves: nothing waits for real time."""

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta

_BEGINNING = datetime(2030, 1, 1, tzinfo=UTC)

TURNS = 60
"""Turns of the loop after each step: enough for every chain of wake-ups to come to rest."""


class VirtualClock:
    """``ports.Clock`` whose time passes only in :meth:`advance`."""

    def __init__(self) -> None:
        self._now_s = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def now_s(self) -> float:
        """Return the time."""
        return self._now_s

    def wall(self) -> str:
        """Return a made-up wall-clock time that runs with it."""
        now = _BEGINNING + timedelta(seconds=self._now_s)
        return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    async def sleep(self, duration_s: float) -> None:
        """Return when the test has moved the time that far."""
        if duration_s <= 0:
            await asyncio.sleep(0)
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now_s + duration_s, next(self._numbers), waiter))
        await waiter

    async def advance(self, duration_s: float) -> None:
        """Let time pass, and let everything happen that happens meanwhile, in order."""
        end_s = self._now_s + duration_s
        await rest()
        while self._sleepers and self._sleepers[0][0] <= end_s:
            due_s, _, waiter = heapq.heappop(self._sleepers)
            if waiter.done():
                continue
            self._now_s = max(self._now_s, due_s)
            waiter.set_result(None)
            await rest()
        self._now_s = max(self._now_s, end_s)

    def stand_still(self, duration_s: float) -> None:
        """Let time pass while this process is stopped: nothing happens meanwhile."""
        self._now_s += duration_s


async def rest() -> None:
    """Let every task run until it waits for time."""
    for _ in range(TURNS):
        await asyncio.sleep(0)
