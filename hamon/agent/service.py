"""What both processes of the agent do as services: words to systemd, and ending on a signal."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine

from hamon.agent.config import AgentConfig, load_config
from hamon.agent.events import EventLog
from hamon.errors import ConfigError
from hamon.hang_up import HangUp
from hamon.ports.clock import Clock
from hamon.service_manager import notify, notify_reloading

CONFIG_ERROR_STATUS = 78
"""Exit code for a configuration that cannot be used (EX_CONFIG): systemd does not try again."""

WATCHDOG_PERIOD_S = 2.0


async def feed_watchdog(clock: Clock) -> None:
    """Tell systemd until cancelled that the loop turns."""
    while True:
        notify("WATCHDOG=1")
        await clock.sleep(WATCHDOG_PERIOD_S)


class Reload:
    """Reads ``agent.toml`` again at SIGHUP; one that cannot be used changes nothing.

    Args:
        config: by which the process runs.
        log: told what became of it.
    """

    def __init__(self, config: AgentConfig, log: EventLog) -> None:
        self.config = config
        self.hang_up = HangUp()
        self._log = log
        self._following: AgentConfig | None = None
        self._is_over = False

    def __call__(self) -> bool:
        """Read it; say whether the process is to go on with other settings."""
        try:
            found = load_config(self.config.path)
        except ConfigError as error:
            self.refuse(error)
            return False
        # While the process ends its work by the former settings, another one may come.
        if found == (self._following or self.config):
            self._log.info("settings_unchanged", path=str(found.path))
            return False
        self._log.info("settings_changed", path=str(found.path))
        self._following = found
        return True

    def refuse(self, error: ConfigError) -> None:
        """Tell that what was read cannot be used after all."""
        self._log.error("settings_refused", why=str(error))

    def take(self) -> AgentConfig | None:
        """Return what to go on with, once; None: with nothing."""
        following, self._following = self._following, None
        return None if self._is_over else following

    def end(self) -> None:
        """Go on with nothing: the process is to end, whatever was read before."""
        self._is_over = True


def serve(reload: Reload, run: Callable[[AgentConfig], Coroutine[object, object, None]]) -> None:
    """Run until stopped, over every reload.

    Args:
        reload: has the settings, and new ones when ``run`` ended because of them.
        run: the process' work under one configuration.

    Raises:
        ConfigError: the first configuration cannot be used. A later one that only turns out so when
            it is used is told, and the one before goes on.
    """
    before: AgentConfig | None = None
    while True:
        try:
            asyncio.run(run(reload.config))
        except ConfigError as error:
            if before is None:
                raise
            reload.refuse(error)
            reload.config, before = before, None
            continue
        following = reload.take()
        if following is None:
            return
        before, reload.config = reload.config, following


async def run_until_stopped(reload: Reload, *work: Coroutine[object, object, None]) -> None:
    """Run all of ``work`` until SIGTERM, SIGINT, or a SIGHUP that brings other settings; cancel it.

    Raises:
        BaseException: whatever ended a part of the work first; the rest is cancelled.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        reload.end()
        stopped.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)

    def look_again() -> None:
        if reload():
            notify_reloading()
            stopped.set()

    reload.hang_up.follow(look_again)
    tasks = [asyncio.ensure_future(part) for part in work]
    stop = asyncio.ensure_future(stopped.wait())
    try:
        done, _ = await asyncio.wait({stop, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (stop, *tasks):
            task.cancel()
        await asyncio.gather(stop, *tasks, return_exceptions=True)
