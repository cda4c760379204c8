"""Blocking libvirt calls in a bounded pool of threads, each with a deadline.

A libvirt call cannot be cancelled. One that does not come back keeps its thread until libvirtd
answers or the connection breaks; such threads are counted, and when all are stuck no call is
started any more: it would only wait behind them and be carried out at a time nobody expects.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from typing import TypeVar

from hamon.errors import HypervisorUnreachableError, Outcome

T = TypeVar("T")


class CallPool:
    """The threads that talk to libvirt.

    Args:
        workers: how many calls may run at once.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool = concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix="libvirt")
        self._slots = asyncio.Semaphore(workers)
        self._stuck = 0

    @property
    def stuck(self) -> int:
        """How many calls are past their deadline and have not come back."""
        return self._stuck

    async def call(self, operation: str, target: str, timeout_s: float, work: Callable[[], T]) -> T:
        """Run ``work`` in a thread and return what it returns, or raise what it raises.

        Raises:
            HypervisorUnreachableError: no thread was free within ``timeout_s`` (NOT_DONE), or no
                answer came within ``timeout_s`` of its start (UNKNOWN: it may be done yet).
        """
        try:
            await asyncio.wait_for(self._slots.acquire(), timeout_s)
        except TimeoutError:
            why = f"{self._stuck} of {self._workers} calls are stuck in libvirt"
            raise HypervisorUnreachableError(
                "hypervisor", operation, target, Outcome.NOT_DONE, why
            ) from None
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        # The slot is given back when the thread is, not when the caller stops waiting.
        future.add_done_callback(lambda _: self._slots.release())
        done, _ = await asyncio.wait({future}, timeout=timeout_s)
        if done:
            return future.result()
        self._stuck += 1
        future.add_done_callback(self._came_back)
        why = f"no answer within {timeout_s} s"
        raise HypervisorUnreachableError("hypervisor", operation, target, Outcome.UNKNOWN, why)

    def close(self) -> None:
        """Start no more calls; stuck ones are left to end with the process."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _came_back(self, future: asyncio.Future[T]) -> None:
        self._stuck -= 1
        if not future.cancelled():
            future.exception()
