"""What both processes of the agent do as services: words to systemd, and ending on a signal."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine

from hamon.ports.clock import Clock
from hamon.service_manager import notify

CONFIG_ERROR_STATUS = 78
"""Exit code for a configuration that cannot be used (EX_CONFIG): systemd does not try again."""

WATCHDOG_PERIOD_S = 2.0


async def feed_watchdog(clock: Clock) -> None:
    """Tell systemd until cancelled that the loop turns."""
    while True:
        notify("WATCHDOG=1")
        await clock.sleep(WATCHDOG_PERIOD_S)


async def run_until_stopped(*work: Coroutine[object, object, None]) -> None:
    """Run all of ``work`` until SIGTERM or SIGINT, then cancel it.

    Raises:
        BaseException: whatever ended a part of the work first; the rest is cancelled.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    tasks = [asyncio.ensure_future(part) for part in work]
    stop = asyncio.ensure_future(stopped.wait())
    try:
        done, _ = await asyncio.wait({stop, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        notify("STOPPING=1")
        for task in (stop, *tasks):
            task.cancel()
        await asyncio.gather(stop, *tasks, return_exceptions=True)
