"""Fence devices are asked on a schedule, so that a broken one is known before it is needed.

Rules:

1. Every controller asks every device itself: what one of them reaches says nothing of another.
2. A device that was never asked is asked soon, at a pace that spares the network; then once each
   period, spread over it.
3. A check is a read: harmless, and given way to an order like any other.
4. Good is a settled answer for the right machine. A device that cannot name the machine is good by
   its answer alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import structlog

from hamon.engine.memory import Memory
from hamon.model.names import HostName
from hamon.model.proof import Power, PowerReading
from hamon.model.readings import same_system
from hamon.ports.clock import Clock
from hamon.ports.fencing import FenceDevice

_log = structlog.get_logger()

Devices = Mapping[HostName, Mapping[str, FenceDevice]]

FIRST_ROUND_PER_S = 5.0
"""Checks in a second until every device was asked once."""

CHECKS_AT_ONCE = 8

SUSPECTS_MAX = 3
"""After a failure so many other devices are asked at once: is it the device, or this controller?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedDevice:
    """What one check found; ``why``: what is wrong, "" when it is good."""

    host: HostName
    device: str
    kind: str
    power: str
    identity: str
    why: str
    took_s: float


class FenceChecks:
    """Asks the fence devices of every host in turn, and on demand.

    Args:
        devices: by host and name.
        identity: returns the system uuid that devices of a host must answer for, "": not known.
        memory: where the outcome is noted.
        clock: time.
        period_s: each device is asked this often.
        timeout_s: longest wait for one answer.
    """

    def __init__(
        self,
        devices: Devices,
        identity: Callable[[HostName], str],
        memory: Memory,
        clock: Clock,
        *,
        period_s: float,
        timeout_s: float,
    ) -> None:
        self._devices = devices
        self._identity = identity
        self._memory = memory
        self._clock = clock
        self._period_s = period_s
        self._timeout_s = timeout_s
        self._last_ok: dict[tuple[HostName, str], bool] = {}
        self._places = asyncio.Semaphore(CHECKS_AT_ONCE)

    async def run(self) -> None:
        """Check for ever; cancel to stop."""
        order = list(self._every())
        if not order:
            return
        while True:
            pause_s = self._period_s / len(order)
            if len(self._last_ok) < len(order):
                pause_s = min(pause_s, 1.0 / FIRST_ROUND_PER_S)
            host, device = order.pop(0)
            order.append((host, device))
            found = await self.check(host, device)
            if found.why:
                for other in [key for key in order if key[0] != host][:SUSPECTS_MAX]:
                    await self.check(*other)
            await self._clock.sleep(pause_s)

    def reaches(self) -> bool | None:
        """Say whether this controller reaches fence devices; None: it has not asked yet.

        It does as long as one of the devices that were asked last, as many as tell a broken device
        from a broken network, has answered.
        """
        if not self._last_ok:
            return None
        newest = list(self._last_ok.values())[-(SUSPECTS_MAX + 1) :]
        return any(newest)

    async def check(self, host: HostName, device: str) -> CheckedDevice:
        """Ask one device now, and note what came of it. Harmless, idempotent; never raises.

        Args:
            host: an enrolled host.
            device: one of its devices.
        """
        asked = self._devices[host][device]
        async with self._places:
            started_s = self._clock.now_s()
            reading = await asked.read(self._timeout_s)
        now_s = self._clock.now_s()
        why = self._fault(host, asked, reading)
        self._note(host, device, reading, why, now_s)
        return CheckedDevice(
            host=host,
            device=device,
            kind=asked.spec.kind,
            power=reading.power,
            identity=reading.identity,
            why=why,
            took_s=now_s - started_s,
        )

    def of(self, host: HostName) -> tuple[str, ...]:
        """Name the devices of a host that can be asked."""
        return tuple(self._devices.get(host, {}))

    def _every(self) -> Iterator[tuple[HostName, str]]:
        for host, named in sorted(self._devices.items()):
            for device in named:
                yield host, device

    def _note(
        self, host: HostName, device: str, reading: PowerReading, why: str, now_s: float
    ) -> None:
        was_ok = self._last_ok.pop((host, device), None)
        # Put last: the newest are those at the end.
        self._last_ok[host, device] = not why
        self._memory.checked(host, device, reading, why=why, now_s=now_s)
        if was_ok is not False and why:
            _log.warning("fence_check_failed", host=host, device=device, why=why)
        elif was_ok is False and not why:
            _log.info("fence_check_good_again", host=host, device=device)

    def _fault(self, host: HostName, device: FenceDevice, reading: PowerReading) -> str:
        """Say what is wrong with an answer, "": nothing."""
        if reading.power not in {Power.ON, Power.OFF}:
            return reading.detail or f"it reads {reading.power}"
        expected = self._identity(host)
        if not device.spec.names_system or not expected:
            return ""
        if not reading.identity:
            return "it does not say which machine it answers for"
        if not same_system(reading.identity, expected):
            return f"it answers for another machine ({reading.identity}, wanted {expected})"
        return ""
