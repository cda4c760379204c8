"""Scheduled checks of fence devices: every one asked, a broken one told, and whose fault it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from hamon.engine.fence_checks import FenceChecks
from hamon.engine.memory import Memory
from hamon.model.host import FenceDeviceSpec
from hamon.model.names import HostName
from hamon.sim.power import DeviceFault, SimulatedFenceDevice
from tests.builders import uuid_of
from tests.virtual_clock import VirtualClock

HOSTS = tuple(HostName(f"compute-{number}") for number in range(1, 7))
PERIOD_S = 600.0


class Machine:
    """A machine with power."""

    is_on = True

    def __init__(self, name: HostName) -> None:
        self.product_uuid = uuid_of(name)

    def lose_power(self) -> None:
        """Stop."""

    def press_power(self) -> None:
        """Switch on."""


class Site:
    """Six hosts with a BMC each, and the checks of one controller."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.memory = Memory()
        self.bmcs = {
            name: SimulatedFenceDevice(
                FenceDeviceSpec(name="bmc", level=1, kind="ipmi", address="192.0.2.1"),
                Machine(name),
                self.clock,
            )
            for name in HOSTS
        }
        for bmc in self.bmcs.values():
            bmc.delay_s = 0.0
        self.checks = FenceChecks(
            {name: {"bmc": bmc} for name, bmc in self.bmcs.items()},
            uuid_of,
            self.memory,
            self.clock,
            period_s=PERIOD_S,
            timeout_s=5.0,
        )

    def why(self, name: HostName) -> str:
        """What the last check of a host's BMC found wrong."""
        return self.memory.host(name).checks["bmc"].why


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """Checks that run."""
    site = Site()
    running = asyncio.create_task(site.checks.run())
    yield site
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_run__begins__asks_every_device_soon(site: Site) -> None:
    """A device that is broken is known minutes after a start, not after a period."""
    await site.clock.advance(5.0)

    assert [""] * len(HOSTS) == [site.why(name) for name in HOSTS]
    assert site.checks.reaches()


async def test_run__device_breaks__is_told_within_a_period_and_mended_too(site: Site) -> None:
    """The age of the last success is what an alert is about."""
    await site.clock.advance(5.0)
    site.bmcs[HOSTS[2]].faults.add(DeviceFault.REFUSING)

    await site.clock.advance(PERIOD_S + 10.0)
    broken = site.memory.host(HOSTS[2]).checks["bmc"]
    assert broken.why
    assert broken.good_s is not None
    assert broken.good_s < broken.checked_s

    site.bmcs[HOSTS[2]].faults.clear()
    await site.clock.advance(PERIOD_S + 10.0)
    assert "" == site.why(HOSTS[2])


@pytest.mark.fault("F51")
async def test_check__another_machine_answers__is_what_is_wrong(site: Site) -> None:
    """Two swapped BMCs are found before one of them shoots the wrong host (F51)."""
    site.bmcs[HOSTS[0]].faults.add(DeviceFault.WRONG_IDENTITY)

    found = await site.checks.check(HOSTS[0], "bmc")

    assert "answers for another machine" in found.why


async def test_reaches__one_device_is_broken__the_others_tell_that_it_is_the_device(
    site: Site,
) -> None:
    """After a failure others are asked at once: is it the device, or this controller?"""
    await site.clock.advance(5.0)
    site.bmcs[HOSTS[0]].faults.add(DeviceFault.REFUSING)

    await site.clock.advance(PERIOD_S)

    assert site.why(HOSTS[0])
    assert site.checks.reaches()


async def test_reaches__nothing_answers__this_controller_is_blind(site: Site) -> None:
    """It is not likely that all devices broke at once."""
    await site.clock.advance(5.0)
    for bmc in site.bmcs.values():
        bmc.faults.add(DeviceFault.REFUSING)

    await site.clock.advance(PERIOD_S / 2)

    assert site.checks.reaches() is False


async def test_reaches__nothing_asked_yet__is_not_known() -> None:
    """A controller that just started says nothing of what it reaches."""
    assert Site().checks.reaches() is None
