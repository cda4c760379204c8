"""The contract of ``ports.FenceDevice``, kept by the device in memory and by the real ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hamon.model.incident import ShotOutcome
from hamon.model.proof import Power
from tests.contract import redfish_rig
from tests.contract.fence_worlds import CLOCK, World, open_world
from tests.contract.ipmi_rig import PASSWORD, is_installed

pytestmark = pytest.mark.contract

NOT_DONE_OR_UNKNOWN = {ShotOutcome.NOT_DONE, ShotOutcome.UNKNOWN}
WITHIN_S = 10.0


@pytest.fixture(
    params=[
        "memory",
        pytest.param(
            "ipmi",
            marks=pytest.mark.skipif(
                not is_installed(), reason="needs the packages openipmi and ipmitool"
            ),
        ),
        "redfish",
        "agent",
        "storage",
    ]
)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """A machine that is on, behind each kind of device."""
    async with open_world(request.param, tmp_path) as opened:
        yield opened


async def shoot(world: World, deadline_s: float = WITHIN_S) -> ShotOutcome:
    """Order power off now."""
    return (await world.device.cut_power(CLOCK.now_s() + WITHIN_S, deadline_s)).outcome


async def switch_on(world: World) -> ShotOutcome:
    """Order power on now."""
    return (await world.device.power_on(CLOCK.now_s() + WITHIN_S, WITHIN_S)).outcome


async def test_read__machine_on__says_on_and_who_answered(world: World) -> None:
    """A reading names the state, the device and the system that answered."""
    before_s = CLOCK.now_s()

    reading = await world.device.read(WITHIN_S)

    assert (Power.ON, world.identity) == (reading.power, reading.identity)
    assert world.device.spec.name == reading.device
    assert before_s <= reading.asked_s <= reading.observed_s <= CLOCK.now_s()


async def test_cut_power__machine_on__is_off_and_reads_off(world: World) -> None:
    """An order cuts power, and the state is read back apart."""
    outcome = await shoot(world)

    reading = await world.device.read(WITHIN_S)
    assert (ShotOutcome.DONE, Power.OFF) == (outcome, reading.power)
    assert world.identity == reading.identity
    assert not world.is_on


async def test_cut_power__already_off__is_success(world: World) -> None:
    """Off stays off, and that is what was wanted."""
    await shoot(world)

    again = await shoot(world)

    assert ShotOutcome.DONE == again
    assert Power.OFF == (await world.device.read(WITHIN_S)).power


async def test_power_on__machine_off__is_on_and_reads_on(world: World) -> None:
    """What was cut can be given back by the same device."""
    await shoot(world)

    outcome = await switch_on(world)

    assert ShotOutcome.DONE == outcome
    assert Power.ON == (await world.device.read(WITHIN_S)).power
    assert world.is_on


async def test_power_on__already_on__is_success(world: World) -> None:
    """On stays on: an order given again does not restart the machine."""
    outcome = await switch_on(world)

    assert ShotOutcome.DONE == outcome
    assert Power.ON == (await world.device.read(WITHIN_S)).power


async def test_power_on__start_is_past__does_not_begin(world: World) -> None:
    """A host that was fenced anew in the meantime is not switched on by a late order."""
    await shoot(world)

    result = await world.device.power_on(CLOCK.now_s() - 0.001, WITHIN_S)

    assert ShotOutcome.LATE == result.outcome
    assert not world.is_on


async def test_power_on__order_ignored__reads_off(world: World) -> None:
    """An accepted order is not power on."""
    await shoot(world)
    world.ignore_orders()

    await switch_on(world)

    assert Power.OFF == (await world.device.read(WITHIN_S)).power


async def test_power_on__login_refused__did_nothing(world: World) -> None:
    """Without a login no machine starts."""
    await shoot(world)
    await world.refuse_login()

    outcome = await switch_on(world)

    assert outcome in NOT_DONE_OR_UNKNOWN
    assert not world.is_on


async def test_power_on__device_slower_than_the_deadline__is_unknown(world: World) -> None:
    """The order may have arrived: the machine may come up at any moment."""
    await shoot(world)
    world.delay(5.0)

    outcome = (await world.device.power_on(CLOCK.now_s() + WITHIN_S, 0.5)).outcome

    assert ShotOutcome.UNKNOWN == outcome


async def test_cut_power__start_is_past__does_not_begin(world: World) -> None:
    """An order whose lease has run out is surely not carried out (rule 4)."""
    result = await world.device.cut_power(CLOCK.now_s() - 0.001, WITHIN_S)

    assert ShotOutcome.LATE == result.outcome
    assert world.is_on


@pytest.mark.fault("F26")
async def test_read__device_dead__is_unknown(world: World) -> None:
    """Silence of a device proves nothing (S3)."""
    world.die()

    reading = await world.device.read(1.0)

    assert (Power.UNKNOWN, "") == (reading.power, reading.identity)


@pytest.mark.fault("F26")
async def test_cut_power__device_dead__is_no_success(world: World) -> None:
    """An order to a dead device ends within its deadline, and is not taken for done."""
    world.die()

    outcome = await asyncio.wait_for(shoot(world, deadline_s=1.0), WITHIN_S)

    assert outcome in NOT_DONE_OR_UNKNOWN
    assert world.is_on


@pytest.mark.fault("F26")
async def test_device__login_refused__knows_nothing_and_did_nothing(world: World) -> None:
    """A wrong password proves nothing (S3)."""
    await world.refuse_login()

    reading = await world.device.read(WITHIN_S)
    outcome = await shoot(world)

    assert Power.UNKNOWN == reading.power
    assert outcome in NOT_DONE_OR_UNKNOWN
    assert world.is_on


async def test_device__login_refused__tells_no_secret(world: World) -> None:
    """What a device says is kept without the password, also if it prints it (S18)."""
    await world.refuse_login()

    reading = await world.device.read(WITHIN_S)
    result = await world.device.cut_power(CLOCK.now_s() + WITHIN_S, WITHIN_S)

    assert reading.detail
    assert result.detail
    assert PASSWORD not in reading.detail + result.detail
    assert redfish_rig.PASSWORD not in reading.detail + result.detail


async def test_read__device_says_off_while_on__tells_what_it_says(world: World) -> None:
    """A device that lies cannot be seen through here: other evidence contradicts it."""
    world.lie("0")

    reading = await world.device.read(WITHIN_S)

    assert Power.OFF == reading.power
    assert world.is_on


@pytest.mark.fault("F27")
async def test_cut_power__order_ignored__reads_on(world: World) -> None:
    """An accepted order is not power off."""
    world.ignore_orders()

    await shoot(world)

    assert Power.ON == (await world.device.read(WITHIN_S)).power


@pytest.mark.fault("F26")
async def test_read__device_slower_than_the_patience__is_unknown(world: World) -> None:
    """An answer that comes too late is none."""
    world.delay(5.0)

    reading = await world.device.read(0.5)

    assert Power.UNKNOWN == reading.power


@pytest.mark.fault("F26")
async def test_cut_power__device_slower_than_the_deadline__is_unknown(world: World) -> None:
    """The order may have arrived: nobody knows."""
    world.delay(5.0)

    assert ShotOutcome.UNKNOWN == await shoot(world, deadline_s=0.5)


async def test_read__device_slow__still_answers(world: World) -> None:
    """A slow device is as good as a fast one, within the patience."""
    world.delay(0.3)

    assert Power.ON == (await world.device.read(WITHIN_S)).power
