"""What is being done about single guests: at most one task each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from hamon.agent.events import EventLog
from hamon.errors import StoreError
from hamon.model.names import GuestId
from hamon.ports.clock import Clock

INTERRUPTED_PAUSE_S = 0.2


class GuestWork:
    """Runs one task a guest, and remembers what a round that is under way may not know yet.

    Args:
        clock: for the pause after work that lost ZooKeeper.
        log: told of such work.
        finished: called when a task ends, however it ended.
    """

    def __init__(self, clock: Clock, log: EventLog, finished: Callable[[], None]) -> None:
        self._clock = clock
        self._log = log
        self._finished = finished
        self._tasks: dict[GuestId, asyncio.Task[None]] = {}
        self._ended_lately: set[GuestId] = set()
        self.failure: BaseException | None = None
        """What ended a task and was not ZooKeeper's: a broken invariant, or a refused identity."""

    def begin_round(self) -> None:
        """Forget which tasks ended before this round began to read."""
        self._ended_lately.clear()

    def busy(self) -> frozenset[GuestId]:
        """Name the guests of which this round may know less than the work on them does.

        Work that ended while the round was reading has changed what was read; the next round, which
        its end asked for, reads how things are.
        """
        return frozenset(self._tasks) | self._ended_lately

    def start(self, guest: GuestId, work: Coroutine[object, object, None]) -> None:
        """Do ``work`` on a guest that is not busy."""
        task = asyncio.ensure_future(self._guarded(guest, work))
        self._tasks[guest] = task
        task.add_done_callback(lambda _: self._ended(guest))

    async def cancel(self) -> None:
        """Cancel every task and wait for its end."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _guarded(self, guest: GuestId, work: Coroutine[object, object, None]) -> None:
        try:
            await work
        except StoreError as error:
            self._log.warning("guest_work_interrupted", guest=guest, why=str(error))
            await self._clock.sleep(INTERRUPTED_PAUSE_S)

    def _ended(self, guest: GuestId) -> None:
        task = self._tasks.pop(guest)
        self._ended_lately.add(guest)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self.failure = failure
        self._finished()
