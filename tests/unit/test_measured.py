"""A device that is listened to does and says what it would without."""

import asyncio

import pytest

from hamon.clock import SystemClock
from hamon.fencing.measured import MeasuredDevice
from hamon.model.incident import ShotOutcome
from hamon.model.proof import Power
from hamon.sim.power import SimulatedFenceDevice
from tests.builders import a_device
from tests.unit.engine_world import Machine


class Listener:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.shots: list[tuple[str, ShotOutcome]] = []
        self.readings: list[tuple[str, Power]] = []

    def observe_shot(self, kind: str, outcome: ShotOutcome, duration_s: float) -> None:
        """Note an order."""
        assert duration_s >= 0
        self.shots.append((kind, outcome))

    def count_reading(self, kind: str, power: Power) -> None:
        """Note a reading."""
        self.readings.append((kind, power))


@pytest.mark.parametrize("is_on", [True, False])
def test_device__listened_to__answers_as_without_and_is_told_of(*, is_on: bool) -> None:
    """Orders to cut power and readings are told; switching on is nobody's figure."""
    listener = Listener()

    async def ask() -> tuple[Power, ShotOutcome, Power, ShotOutcome]:
        clock, machine = SystemClock(), Machine()
        machine.is_on = is_on
        device = MeasuredDevice(SimulatedFenceDevice(a_device(), machine, clock), listener, clock)
        assert device.spec == a_device()
        until_s = clock.now_s() + 1.0
        before = await device.read(1.0)
        cut = await device.cut_power(until_s, 1.0)
        after = await device.read(1.0)
        up = await device.power_on(until_s, 1.0)
        return before.power, cut.outcome, after.power, up.outcome

    told = asyncio.run(ask())

    first = Power.ON if is_on else Power.OFF
    assert told == (first, ShotOutcome.DONE, Power.OFF, ShotOutcome.DONE)
    assert listener.shots == [("ipmi", ShotOutcome.DONE)]
    assert listener.readings == [("ipmi", first), ("ipmi", Power.OFF)]
