"""A simulated process: tasks that can be stopped, resumed and killed together, from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

PROCESS: ContextVar[Process] = ContextVar("process")
"""The process whose code runs now; unset for the world outside of all processes."""


class Process:
    """Everything that is scheduled from within its context belongs to it.

    Args:
        name: for logs.
        crashed: told of an exception that ended one of its main tasks.
    """

    def __init__(self, name: str, crashed: Callable[[Process, BaseException], None]) -> None:
        self.name = name
        self.is_stopped = False
        self.is_dead = False
        self._crashed = crashed
        self._parked: list[Callable[[], None]] = []
        self._tasks: list[asyncio.Task[object]] = []
        self._context = Context()
        self._context.run(PROCESS.set, self)

    def spawn(self, work: Coroutine[object, object, T]) -> None:
        """Run ``work`` within the process."""
        task = asyncio.get_running_loop().create_task(work, context=self._context.copy())
        task.add_done_callback(self._ended, context=Context())
        self._tasks.append(task)

    def bind(self, callback: Callable[[*Ts], object]) -> Callable[[*Ts], None]:
        """Return a callback that the world may call at any time; it runs within the process."""

        def call(*arguments: *Ts) -> None:
            loop = asyncio.get_running_loop()
            loop.call_soon(callback, *arguments, context=self._context.copy())

        return call

    def stop(self) -> None:
        """SIGSTOP: nothing of it runs until :meth:`resume`."""
        self.is_stopped = True

    def resume(self) -> None:
        """SIGCONT: what was due meanwhile runs now, in its order."""
        if self.is_dead:
            return
        self.is_stopped = False
        parked, self._parked = self._parked, []
        for go_on in parked:
            go_on()

    def kill(self) -> None:
        """SIGKILL: nothing of it ever runs again."""
        self.is_dead = True
        self.is_stopped = True

    def park(self, go_on: Callable[[], None]) -> None:
        """Keep a step that is due while the process is stopped."""
        self._parked.append(go_on)

    async def bury(self) -> None:
        """End what is left of it, when the world itself ends."""
        for task in self._tasks:
            task.cancel()
        self.is_dead = self.is_stopped = False
        self.resume()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[T]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._crashed(self, error)
