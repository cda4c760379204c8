"""Blocking libvirt calls in a bounded number of lanes: a connection and a thread each.

No two threads share a connection, and none on which calls are made sends keepalives. libvirt's
client, up to 10.3, writes to a stack frame that is gone when a thread that waits for its answer is
woken for another one's sake, be it a second call or a keepalive (CVE-2024-4418): the process dies.
In a lane nobody wakes the one who waits.

A libvirt call cannot be cancelled. One that does not come back keeps its lane until libvirtd
answers or ends; such lanes are counted, and when all are stuck no call is started any more: it
would only wait behind them and be carried out at a time nobody expects.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import time
from collections.abc import Callable
from typing import TypeVar

import libvirt

from hamon.errors import HypervisorUnreachableError, Outcome

T = TypeVar("T")

_BROKEN = frozenset(
    {
        libvirt.VIR_ERR_INTERNAL_ERROR,
        libvirt.VIR_ERR_NO_CONNECT,
        libvirt.VIR_ERR_INVALID_CONN,
        libvirt.VIR_ERR_RPC,
        libvirt.VIR_ERR_SYSTEM_ERROR,
    }
)
"""Codes with which libvirt's client tells that the connection broke, when the error is the
client's own (domain RPC or remote) and not one that libvirtd sent."""

_CLIENT_DOMAINS = frozenset({libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE})


def is_broken(error: libvirt.libvirtError) -> bool:
    """Say whether an error means that the connection broke."""
    if error.err is None:
        return True
    return error.err[1] in _CLIENT_DOMAINS and error.get_error_code() in _BROKEN


class Lane:
    """One thread, and the connection that it alone uses; opened when first needed.

    Args:
        uri: libvirt's.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="libvirt")
        self._connection: libvirt.virConnect | None = None

    def begin(self, work: Callable[[libvirt.virConnect], T]) -> asyncio.Future[T]:
        """Have the thread do ``work``, as soon as there is a connection, however late that is.

        The future raises what ``work`` raises, and ``libvirtError`` when there is no connection.

        Args:
            work: given the connection; it must be done with it when it returns.
        """
        return asyncio.get_running_loop().run_in_executor(self._thread, self._do, work)

    def close(self) -> None:
        """Let go of the connection once the thread is free; a stuck one ends with the process."""
        with contextlib.suppress(RuntimeError):
            self._thread.submit(self._drop)
        self._thread.shutdown(wait=False)

    def _do(self, work: Callable[[libvirt.virConnect], T]) -> T:
        if self._connection is not None and not self._connection.isAlive():
            self._drop()
        if self._connection is None:
            # Of a libvirtd that was stopped this returns when it goes on.
            self._connection = libvirt.open(self._uri)
        try:
            return work(self._connection)
        except libvirt.libvirtError as error:
            if is_broken(error):
                self._drop()
            raise

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(libvirt.libvirtError):
                connection.close()


class Lanes:
    """So many calls at once, each with a deadline.

    Args:
        uri: libvirt's.
        count: how many calls may run at once.
    """

    def __init__(self, uri: str, count: int) -> None:
        self._all = tuple(Lane(uri) for _ in range(count))
        self._stuck = 0
        # The last one used is taken first: few connections are opened where few are needed.
        self._idle: asyncio.LifoQueue[Lane] = asyncio.LifoQueue()
        for lane in self._all:
            self._idle.put_nowait(lane)

    @property
    def stuck(self) -> int:
        """How many calls are past their deadline and have not come back."""
        return self._stuck

    async def call(
        self,
        operation: str,
        target: str,
        timeout_s: float,
        work: Callable[[libvirt.virConnect], T],
    ) -> T:
        """Run ``work`` in a lane and return what it returns, or raise what it raises.

        Raises:
            HypervisorUnreachableError: no lane was free within ``timeout_s``, or no connection
                within as long again (NOT_DONE); or no answer came in that time (UNKNOWN: it may be
                done yet).
            libvirt.libvirtError: there is no connection, or libvirt refused.
        """
        try:
            async with asyncio.timeout(timeout_s):
                lane = await self._idle.get()
        except TimeoutError:
            why = f"{self._stuck} of {len(self._all)} calls are stuck in libvirt"
            raise HypervisorUnreachableError(
                "hypervisor", operation, target, Outcome.NOT_DONE, why
            ) from None
        start_by_s = time.monotonic() + timeout_s

        def work_in_time(connection: libvirt.virConnect) -> T:
            # safety: nobody waits for it any more; done now, it would undo what came after it.
            if time.monotonic() > start_by_s:
                why = f"no connection within {timeout_s} s"
                raise HypervisorUnreachableError(
                    "hypervisor", operation, target, Outcome.NOT_DONE, why
                )
            return work(connection)

        future = lane.begin(work_in_time)
        # The lane is given back when its thread is, not when the caller stops waiting.
        future.add_done_callback(lambda _: self._idle.put_nowait(lane))
        done, _ = await asyncio.wait({future}, timeout=timeout_s)
        if done:
            return future.result()
        self._stuck += 1
        future.add_done_callback(self._came_back)
        why = f"no answer within {timeout_s} s"
        raise HypervisorUnreachableError("hypervisor", operation, target, Outcome.UNKNOWN, why)

    def close(self) -> None:
        """Let go of every connection, and start no more calls."""
        for lane in self._all:
            lane.close()

    def _came_back(self, future: asyncio.Future[T]) -> None:
        self._stuck -= 1
        if not future.cancelled():
            future.exception()
