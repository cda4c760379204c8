"""The heartbeat process of a simulated host with a watchdog: from its start to its end."""

from __future__ import annotations

import asyncio

from hamon.agent.guarded_heartbeat import GuardedHeartbeat, WatchdogSettings
from hamon.agent.registration import Registration
from hamon.model.names import HostName
from hamon.ports.clock import Clock
from hamon.sim.ensemble import ProcessStore
from hamon.sim.events import Events
from hamon.sim.watchdog_device import InMemoryWatchdog, SimulatedWatchdog


class WatchedHeartbeat:
    """What the process does, as ``hamon.agent.heartbeat`` does it.

    Args:
        registration: of this boot, made for guarded heartbeats.
        store: its session.
        device: the host's.
        settings: how it is used.
        clock: the world's.
        log: the world's.
        host: whose.
    """

    def __init__(
        self,
        *,
        registration: Registration,
        store: ProcessStore,
        device: SimulatedWatchdog,
        settings: WatchdogSettings,
        clock: Clock,
        log: Events,
        host: HostName,
    ) -> None:
        self._store = store
        self._watchdog = InMemoryWatchdog(device)
        self._stopped = asyncio.Event()
        self._heartbeat = GuardedHeartbeat(
            registration=registration,
            store=store,
            watchdog=self._watchdog,
            settings=settings,
            clock=clock,
            log=log,
            host=host,
        )

    async def run(self) -> None:
        """Beat until it is told to stop because the host leaves, and end the session."""
        beating = asyncio.ensure_future(self._heartbeat.run())
        stopped = asyncio.ensure_future(self._stopped.wait())
        await asyncio.wait({beating, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if beating.done():
            beating.result()
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        await self._heartbeat.leave()
        await self._store.close()

    def stop(self) -> None:
        """SIGTERM after an announced leave."""
        self._stopped.set()

    def die(self) -> None:
        """Let go of the device as the kernel does it for a process that is gone."""
        self._watchdog.close(disarm=False)
