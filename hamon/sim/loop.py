"""An event loop on virtual time: it never waits, and jumps to the next timer when nothing is ready.

Every callback belongs to the simulated process in whose context it was scheduled; a process that is
stopped has its callbacks parked until it goes on, exactly as SIGSTOP does it.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context, copy_context
from typing import Any, TypeVar, TypeVarTuple

from hamon.sim.process import PROCESS, Process

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class DeadlockError(RuntimeError):
    """Everybody waits for something that nobody will ever do."""


class _VirtualSelector(selectors.SelectSelector):
    """Takes no notice of files; instead of waiting it has the time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.batches = 0
        self.after_batch: Callable[[], None] | None = None

    # typing.override comes with Python 3.12.
    def select(  # type: ignore[explicit-override]
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        """Be called between two batches of callbacks."""
        self.batches += 1
        if self.after_batch is not None:
            self.after_batch()
        if timeout is None:
            raise DeadlockError("deadlock: nothing scheduled")
        self.now_s += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop of one simulated world. Single-threaded, deterministic."""

    def __init__(self) -> None:
        self._virtual = _VirtualSelector()
        super().__init__(self._virtual)
        self.errors: list[BaseException] = []
        self.set_exception_handler(self._note)

    def _note(self, _: asyncio.AbstractEventLoop, report: Mapping[str, Any]) -> None:
        """Let no exception of a callback, or of a task that nobody waits for, go unseen.

        Reports without an exception tell of tasks of killed processes that were never finished.
        """
        error = report.get("exception")
        if error is not None:
            self.errors.append(error)

    def time(self) -> float:  # type: ignore[explicit-override]
        """Return the virtual seconds since the world began."""
        return self._virtual.now_s

    @property
    def batches(self) -> int:
        """How many batches of callbacks have run: the steps of a simulation."""
        return self._virtual.batches

    def watch(self, after_batch: Callable[[], None] | None) -> None:
        """Have ``after_batch`` called after every batch; what it raises ends the run."""
        self._virtual.after_batch = after_batch

    def call_soon(  # type: ignore[explicit-override]
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Schedule a callback for the process of its context."""
        scope = context if context is not None else copy_context()
        process = scope.get(PROCESS)
        if process is None:
            return super().call_soon(callback, *args, context=scope)
        step = _Step(self, process, callback, args, scope)
        step.handle = super().call_soon(step, context=scope)
        return step.handle

    def call_at(  # type: ignore[explicit-override]
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Schedule a callback for the process of its context, at a virtual second."""
        scope = context if context is not None else copy_context()
        process = scope.get(PROCESS)
        if process is None:
            return super().call_at(when, callback, *args, context=scope)
        step = _Step(self, process, callback, args, scope)
        handle = super().call_at(when, step, context=scope)
        step.handle = handle
        return handle


class _Step:
    """One callback on its way through a process that may be stopped."""

    __slots__ = ("_arguments", "_callback", "_context", "_loop", "_process", "handle")

    def __init__(
        self,
        loop: VirtualLoop,
        process: Process,
        callback: Callable[..., object],
        arguments: tuple[Any, ...],
        context: Context,
    ) -> None:
        self._loop = loop
        self._process = process
        self._callback = callback
        self._arguments = arguments
        self._context = context
        self.handle: asyncio.Handle | None = None

    def __call__(self) -> None:
        if self._process.is_stopped:
            self._process.park(self._go_on)
        else:
            self._callback(*self._arguments)

    def _go_on(self) -> None:
        """Take one's place in the queue again, unless cancelled by what runs before."""
        self._loop.call_soon(self._unless_cancelled, context=self._context)

    def _unless_cancelled(self) -> None:
        if self.handle is None or not self.handle.cancelled():
            self._callback(*self._arguments)


def run_virtual(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function on a fresh virtual loop; return what it returns."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())
