"""A fence device that tells what it was asked and what it answered, for metrics."""

from __future__ import annotations

from typing import Protocol

from hamon.model.host import FenceDeviceSpec
from hamon.model.incident import ShotOutcome
from hamon.model.proof import Power, PowerReading
from hamon.ports.clock import Clock
from hamon.ports.fencing import FenceDevice, ShotResult


class DeviceListener(Protocol):
    """Who is told. Called on the event loop; must not block."""

    def observe_shot(self, kind: str, outcome: ShotOutcome, duration_s: float) -> None:
        """Note an order to cut power that ended, given to a device of ``kind``."""
        ...

    def count_reading(self, kind: str, power: Power) -> None:
        """Note what a device of ``kind`` answered."""
        ...


class MeasuredDevice:
    """Another device, listened to (implements ``ports.FenceDevice``).

    Args:
        device: does the work.
        listener: told of orders to cut power and of readings.
        clock: how long an order took.
    """

    def __init__(self, device: FenceDevice, listener: DeviceListener, clock: Clock) -> None:
        self._device = device
        self._listener = listener
        self._clock = clock

    @property
    def spec(self) -> FenceDeviceSpec:
        """The device as configured."""
        return self._device.spec

    async def read(self, timeout_s: float) -> PowerReading:
        """See ``ports.FenceDevice``."""
        reading = await self._device.read(timeout_s)
        self._listener.count_reading(self.spec.kind, reading.power)
        return reading

    async def cut_power(self, start_by_s: float, deadline_s: float) -> ShotResult:
        """See ``ports.FenceDevice``."""
        started_s = self._clock.now_s()
        outcome = ShotOutcome.UNKNOWN
        try:
            result = await self._device.cut_power(start_by_s, deadline_s)
            outcome = result.outcome
        finally:
            took_s = self._clock.now_s() - started_s
            self._listener.observe_shot(self.spec.kind, outcome, took_s)
        return result

    async def power_on(self, start_by_s: float, deadline_s: float) -> ShotResult:
        """See ``ports.FenceDevice``."""
        return await self._device.power_on(start_by_s, deadline_s)
