"""What sees hosts live or die besides the probes, as configured: part of the composition root."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from hamon.clock import SystemClock
from hamon.detector.kdump import KdumpListener, listen, senders_of
from hamon.detector.knocking import Knocker
from hamon.detector.storage import StorageWatch, WatchingPace
from hamon.detector.storage_folder import MountedFolder
from hamon.engine.ports import Witness
from hamon.errors import ConfigError
from hamon.metrics.instruments import Instruments
from hamon.model.host import HostSpec
from hamon.model.names import HostName
from hamon.model.policy import Policy
from hamon.settings.values import Settings


async def witnesses_of(
    settings: Settings,
    clock: SystemClock,
    wake: Callable[[], None],
    instruments: Instruments,
    stack: contextlib.AsyncExitStack,
) -> tuple[Witness, ...]:
    """Start what is configured: the crash notices, and the heartbeats on shared storage.

    Args:
        settings: the checked configuration.
        clock: CLOCK_BOOTTIME.
        wake: makes the loop come round.
        instruments: count what was heard.
        stack: ends them.

    Raises:
        ConfigError: crash notices cannot be listened for.
    """
    return (
        *await _kdump(settings, clock, wake, instruments, stack),
        *_storage(settings, clock, wake, stack),
    )


async def _kdump(
    settings: Settings,
    clock: SystemClock,
    wake: Callable[[], None],
    instruments: Instruments,
    stack: contextlib.AsyncExitStack,
) -> tuple[Witness, ...]:
    place = settings.kdump
    if not place.address:
        return ()
    kdump = KdumpListener(
        clock,
        senders_of(settings.hosts),
        observer=settings.controller,
        on_change=lambda _host: wake(),
        on_datagram=instruments.count_kdump_datagram,
    )
    try:
        endpoint = await listen(kdump, place.address, place.port)
    except OSError as error:
        # asyncio's own words repeat address and port.
        why = (
            f"cannot listen on {place.address} UDP port {place.port}: "
            f"{os.strerror(error.errno or 0)}; set another one"
        )
        raise ConfigError(str(settings.path), "kdump.listen", why) from error
    stack.callback(endpoint.close)
    return (kdump,)


def _storage(
    settings: Settings,
    clock: SystemClock,
    wake: Callable[[], None],
    stack: contextlib.AsyncExitStack,
) -> tuple[Witness, ...]:
    folders = [
        MountedFolder(name, path, clock) for name, path in settings.storage.heartbeats.items()
    ]
    hosts = beating(settings.hosts)
    if not folders or not hosts:
        return ()
    for folder in folders:
        folder.start()
        stack.push_async_callback(folder.close)
    watch = StorageWatch(
        folders,
        hosts,
        clock,
        observer=settings.controller,
        pace=watching_pace_of(settings.policy, settings.storage.heartbeat_period_s),
        on_change=lambda _host: wake(),
    )
    watch.start()
    stack.push_async_callback(watch.close)
    return (watch,)


def watching_pace_of(policy: Policy, period_s: float) -> WatchingPace:
    """Return how heartbeats on shared storage are watched; ``period_s``: how often they come."""
    return WatchingPace(period_s=period_s, late_after_s=policy.detection.late_after_s)


def beating(hosts: tuple[HostSpec, ...]) -> tuple[HostName, ...]:
    """Name the hosts that can have a heartbeat on shared storage: those with an agent."""
    return tuple(spec.name for spec in hosts if not spec.agentless)


def watch_all(knocker: Knocker, hosts: tuple[HostSpec, ...]) -> None:
    """Knock at every configured host."""
    for spec in hosts:
        knocker.watch(spec.name, spec.planes)
