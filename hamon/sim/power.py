"""Power in memory: a device that switches a simulated machine, and what can be wrong with it.

Implements ``ports.FenceDevice`` and passes the same contract tests as the real devices.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from hamon.model.host import FenceDeviceSpec
from hamon.model.incident import ShotOutcome
from hamon.model.proof import Power, PowerReading
from hamon.ports.clock import Clock
from hamon.ports.fencing import ShotResult

OTHER_IDENTITY = "5ca1ab1e-0000-4000-8000-0123456789ab"
"""Whom a wrongly mapped device answers for."""


class Machine(Protocol):
    """What a device switches."""

    @property
    def is_on(self) -> bool:
        """Whether it has power."""
        ...

    @property
    def product_uuid(self) -> str:
        """Its system uuid."""
        ...

    def lose_power(self) -> None:
        """Stop at once. Already off is fine."""
        ...

    def press_power(self) -> None:
        """Switch on. Already on is fine."""
        ...


class DeviceFault(StrEnum):
    """What can be wrong with a device; several at once are possible."""

    DEAD = "dead"  # nothing comes back
    REFUSING = "refusing"  # it refuses the login
    LIES_OFF = "lies_off"  # it reads Off, whatever is true
    LIES_ON = "lies_on"  # it reads On, whatever is true
    IGNORES_OFF = "ignores_off"  # it takes the order to go off and does nothing
    IGNORES_ON = "ignores_on"  # it takes the order to go on and does nothing
    LOSES_ANSWER = "loses_answer"  # it obeys, but its answer to an order does not arrive
    WRONG_IDENTITY = "wrong_identity"  # it answers for another machine


class SimulatedFenceDevice:
    """One device of one machine.

    Args:
        spec: as configured.
        machine: whose power it cuts.
        clock: the world's.

    ``faults`` and ``delay_s`` (how long it takes for an answer) may be changed at any time.
    """

    def __init__(self, spec: FenceDeviceSpec, machine: Machine, clock: Clock) -> None:
        self._spec = spec
        self._machine = machine
        self._clock = clock
        self.faults: set[DeviceFault] = set()
        self.delay_s = 0.05

    @property
    def spec(self) -> FenceDeviceSpec:
        """The device as configured."""
        return self._spec

    async def read(self, timeout_s: float) -> PowerReading:
        """Tell the machine's power state as the faults let it; see ``ports.FenceDevice``."""
        asked_s = self._clock.now_s()
        has_answer = await self._answers_within(timeout_s)
        power, identity = Power.UNKNOWN, ""
        if has_answer and DeviceFault.REFUSING not in self.faults:
            power = self._power()
            identity = self._machine.product_uuid
            if DeviceFault.WRONG_IDENTITY in self.faults:
                identity = OTHER_IDENTITY
        return PowerReading(
            device=self._spec.name,
            power=power,
            identity=identity if self._spec.names_system else "",
            asked_s=asked_s,
            observed_s=self._clock.now_s(),
            detail="" if power is not Power.UNKNOWN else "no usable answer",
        )

    async def cut_power(self, start_by_s: float, deadline_s: float) -> ShotResult:
        """Cut the machine's power as the faults let it; see ``ports.FenceDevice``."""
        does = DeviceFault.IGNORES_OFF not in self.faults
        switch = self._machine.lose_power if does else _nothing
        return await self._order(switch, start_by_s, deadline_s)

    async def power_on(self, start_by_s: float, deadline_s: float) -> ShotResult:
        """Switch the machine on as the faults let it; see ``ports.FenceDevice``."""
        does = DeviceFault.IGNORES_ON not in self.faults
        switch = self._machine.press_power if does else _nothing
        return await self._order(switch, start_by_s, deadline_s)

    async def _order(
        self, switch: Callable[[], None], start_by_s: float, deadline_s: float
    ) -> ShotResult:
        if self._clock.now_s() > start_by_s:
            return ShotResult(outcome=ShotOutcome.LATE, detail="started too late")
        if not await self._answers_within(deadline_s):
            return ShotResult(outcome=ShotOutcome.UNKNOWN, detail="no answer")
        if DeviceFault.REFUSING in self.faults:
            return ShotResult(outcome=ShotOutcome.NOT_DONE, detail="login refused")
        switch()
        if DeviceFault.LOSES_ANSWER in self.faults:
            return ShotResult(outcome=ShotOutcome.UNKNOWN, detail="no answer")
        return ShotResult(outcome=ShotOutcome.DONE)

    async def _answers_within(self, wait_max_s: float) -> bool:
        """Let the time pass until the device answers or the caller gives up."""
        if DeviceFault.DEAD in self.faults or self.delay_s > wait_max_s:
            await self._clock.sleep(wait_max_s)
            return False
        await self._clock.sleep(self.delay_s)
        return True

    def _power(self) -> Power:
        if DeviceFault.LIES_OFF in self.faults:
            return Power.OFF
        if DeviceFault.LIES_ON in self.faults:
            return Power.ON
        return Power.ON if self._machine.is_on else Power.OFF


def _nothing() -> None:
    """Do what a device does that takes orders and ignores them."""
