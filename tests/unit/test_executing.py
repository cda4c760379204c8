"""Executing: what is durable before what, what a lost race stops, and what is remembered."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from hamon.coordination.cluster import ZooKeeperCluster
from hamon.engine.executing import READY_TIMEOUT_S
from hamon.engine.memory import READY_MAX, Memory
from hamon.errors import DeposedError
from hamon.model.action import PowerLook, PowerOn, ReadyLook, Shoot
from hamon.model.change import CONTROL, Change, Decision, Intent, Update
from hamon.model.control import Control
from hamon.model.incident import ShotOutcome
from hamon.model.names import Epoch, IncidentId
from hamon.model.proof import Power
from hamon.model.reason import reason
from hamon.model.view import ReadyReading
from hamon.ports.probe import ProbeAnswer, ProbeResult
from hamon.sim.power import DeviceFault
from hamon.sim.store import Loss
from tests.builders import HOST, ME, a_guest
from tests.unit.engine_world import CONTROLLERS, SPEC, Controller, World

SHOOT = Shoot(host=HOST, incident=IncidentId("host-1-1"), device="bmc", attempt=1, deadline_s=20.0)
LOOK = PowerLook(host=HOST, device="bmc")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """An ensemble and a machine with power."""
    world = World()
    await world.prepare()
    yield world
    await world.close()


@pytest.fixture
async def controller(world: World) -> Controller:
    """A controller whose engine does not run: the test carries out decisions."""
    controller = Controller(world, ME)
    controller.cluster.start()
    world.controllers.append(controller)
    await world.clock.advance(0.1)
    return controller


class SlowCluster(ZooKeeperCluster):
    """The controller's cluster, whose answers take longer than the lease."""

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller.store, controller.clock, ME, (SPEC,), CONTROLLERS)
        self._waits = controller.clock

    # typing.override comes with Python 3.12.
    async def commit(self, change: Change, epoch: Epoch) -> None:  # type: ignore[explicit-override]
        """Commit, and answer late."""
        await super().commit(change, epoch)
        await self._waits.sleep(0.6)


def a_change(version: int = 0, subject: str = "cluster") -> Change:
    """A change of the switches, decided on a version."""
    write = Update(key=CONTROL, version=version, value=Control(reason=f"after {version}"))
    return Change(subject=subject, reason=reason("changed", subject), operations=(write,))


def a_shot(version: int = 0) -> Decision:
    """A decision to shoot, journalled by a change."""
    return Decision(intents=(Intent(change=a_change(version), action=SHOOT),))


async def carried_out(
    controller: Controller, decision: Decision, epoch: int = 0, wait_s: float = 1.0
) -> int:
    """Carry a decision out, and let its actions end."""
    written = await controller.executor.carry_out(decision, controller.cluster, Epoch(epoch))
    await controller.clock.advance(wait_s)
    return written


async def test_intent__durable__the_shot_is_given(world: World, controller: Controller) -> None:
    """An order starts when its journal entry is committed."""
    assert 1 == await carried_out(controller, a_shot())

    assert not world.machine.is_on
    shot = controller.memory.host(HOST).shots["bmc"]
    assert (False, ShotOutcome.DONE) == (shot.is_running, shot.last)


async def test_intent__commit_of_unknown_outcome__is_remembered_as_never_given(
    world: World, controller: Controller
) -> None:
    """The order before it is not taken for this one; it is decided and journalled anew."""
    await carried_out(controller, a_shot())
    world.machine.press_power()
    again = replace(SHOOT, incident=IncidentId("host-1-2"))
    controller.store.lose_next(Loss.REPLY)

    intent = Intent(change=a_change(1), action=again)
    assert 0 == await carried_out(controller, Decision(intents=(intent,)))

    assert 2 == (await world.hand.get("/control")).version
    assert world.machine.is_on
    shot = controller.memory.host(HOST).shots["bmc"]
    assert (ShotOutcome.LATE, again.incident, 1) == (shot.last, shot.incident, shot.attempt)


async def test_intent__lost_race__leaves_what_is_remembered(controller: Controller) -> None:
    """What was surely not journalled was not decided."""
    await carried_out(controller, a_shot())

    assert 0 == await carried_out(controller, a_shot())

    assert ShotOutcome.DONE is controller.memory.host(HOST).shots["bmc"].last


async def test_power_on__durable__is_ordered_and_remembered(
    world: World, controller: Controller
) -> None:
    """An order to switch on is recorded like any other, and is no shot."""
    world.machine.lose_power()
    order = PowerOn(host=HOST, device="bmc", deadline_s=20.0)

    assert 1 == await carried_out(
        controller, Decision(intents=(Intent(change=a_change(), action=order),))
    )

    memory = controller.memory.host(HOST)
    assert world.machine.is_on
    assert ({}, ShotOutcome.DONE) == (memory.shots, memory.power_ons["bmc"].last)


async def test_intent__device_that_is_none__is_surely_not_done(
    world: World, controller: Controller
) -> None:
    """A watchdog is configured beside the others, and nobody can shoot with it."""
    shoot = replace(SHOOT, device="watchdog")
    decision = Decision(intents=(Intent(change=a_change(), action=shoot),))

    assert 1 == await carried_out(controller, decision)

    shot = controller.memory.host(HOST).shots["watchdog"]
    assert world.machine.is_on
    assert (False, ShotOutcome.NOT_DONE) == (shot.is_running, shot.last)


async def test_intent__lost_its_race__no_shot_is_given(
    world: World, controller: Controller
) -> None:
    """What somebody else changed first is looked at, not acted on."""
    assert 0 == await carried_out(controller, a_shot(version=9))

    assert world.machine.is_on
    assert [] == controller.changes


async def test_intent__deposed__no_shot_is_given(world: World, controller: Controller) -> None:
    """A leader of an earlier epoch starts nothing more (S5)."""
    await world.bump_epoch()

    with pytest.raises(DeposedError):
        await carried_out(controller, a_shot())

    assert world.machine.is_on


async def test_intent__commit_took_longer_than_the_lease__no_shot_is_given(
    world: World, controller: Controller
) -> None:
    """An order starts within the lease of *sending* its intent, or not at all (rule 4)."""
    slow = SlowCluster(controller)
    work = asyncio.create_task(controller.executor.carry_out(a_shot(), slow, Epoch(0)))
    await controller.clock.advance(2.0)

    assert 1 == await work
    assert world.machine.is_on
    assert ShotOutcome.LATE is controller.memory.host(HOST).shots["bmc"].last


def told(logs: Sequence[Mapping[str, object]]) -> list[str]:
    """The events among log lines."""
    return [str(line["event"]) for line in logs]


async def test_change__answer_lost__is_told_when_the_picture_shows_it(
    controller: Controller,
) -> None:
    """A conviction that nobody saw acknowledged is in the log all the same, once."""
    controller.store.lose_next(Loss.REPLY)

    with capture_logs() as logs:
        assert 0 == await carried_out(controller, Decision(transitions=(a_change(),)))
        for _ in range(2):
            controller.executor.tell_doubtful(controller.cluster)

    assert ["change_outcome_unknown", "changed"] == told(logs)


async def test_change__request_lost__is_told_when_it_was_made_after_all(
    controller: Controller,
) -> None:
    """While it may still come about nothing is said; made again it is told once."""
    controller.store.lose_next(Loss.REQUEST)

    with capture_logs() as logs:
        for expected in (0, 1):
            change = Decision(transitions=(a_change(),))
            assert expected == await carried_out(controller, change)
            controller.executor.tell_doubtful(controller.cluster)

    assert ["change_outcome_unknown", "changed"] == told(logs)


async def test_change__lost_and_overtaken__is_not_told(
    controller: Controller,
) -> None:
    """What somebody else wrote in its place is not this controller's."""
    controller.store.lose_next(Loss.REQUEST)
    other = Update(key=CONTROL, version=0, value=Control(reason="another"))

    with capture_logs() as logs:
        await carried_out(controller, Decision(transitions=(a_change(),)))
        winner = replace(a_change(), reason=reason("another", "cluster"), operations=(other,))
        await carried_out(controller, Decision(transitions=(winner,)))
        controller.executor.tell_doubtful(controller.cluster)

    assert ["change_outcome_unknown", "another"] == told(logs)


async def test_shot__answer_lost__is_unknown_and_remembered(
    world: World, controller: Controller
) -> None:
    """UNKNOWN is an outcome: only reading the power tells more."""
    world.device.faults.add(DeviceFault.LOSES_ANSWER)

    await carried_out(controller, a_shot())

    assert ShotOutcome.UNKNOWN is controller.memory.host(HOST).shots["bmc"].last


async def test_shot__under_way__is_counted(world: World, controller: Controller) -> None:
    """While an order is under way no other one is decided."""
    world.device.delay_s = 5.0

    await carried_out(controller, a_shot())
    assert controller.memory.host(HOST).shots["bmc"].is_running
    await controller.clock.advance(5.0)

    assert not controller.memory.host(HOST).shots["bmc"].is_running
    assert controller.wake.is_set()


async def test_changes__of_one_subject__are_committed_in_turn(controller: Controller) -> None:
    """The second change of a subject builds on the first."""
    decision = Decision(transitions=(a_change(0), a_change(1)))

    assert 2 == await carried_out(controller, decision)


async def test_changes__one_loses_its_race__the_others_are_committed(
    controller: Controller,
) -> None:
    """A conflict concerns its own subject only."""
    decision = Decision(transitions=(a_change(9, "a"), a_change(0, "b")))

    assert 1 == await carried_out(controller, decision)


async def test_look__asked__its_reading_is_kept(world: World, controller: Controller) -> None:
    """Power looks are harmless and need no journal."""
    await carried_out(controller, Decision(looks=(LOOK, LOOK)))

    (reading,) = controller.memory.host(HOST).readings
    assert (Power.ON, world.machine.product_uuid) == (reading.power, reading.identity)


async def test_look__under_way__is_not_asked_twice(world: World, controller: Controller) -> None:
    """A slow device is asked once at a time (B3)."""
    world.device.delay_s = 0.5

    await carried_out(controller, Decision(looks=(LOOK,)), wait_s=0.1)
    await carried_out(controller, Decision(looks=(LOOK,)), wait_s=0.5)

    assert 1 == len(controller.memory.host(HOST).readings)


async def test_look__device_not_configured_here__is_left_out(controller: Controller) -> None:
    """A device that another controller's configuration has is not asked."""
    odd = replace(LOOK, device="pdu")

    assert 0 == await carried_out(controller, Decision(looks=(odd,)))


@pytest.mark.parametrize(
    ("answer", "answers"),
    [
        (ProbeAnswer.CONNECTED, True),
        (ProbeAnswer.ECHO, True),
        (ProbeAnswer.REFUSED, False),
        (ProbeAnswer.SILENT, False),
        (ProbeAnswer.FAILED, False),
    ],
)
async def test_ready_look__asked__what_the_guest_told_is_kept(
    controller: Controller, answer: ProbeAnswer, *, answers: bool
) -> None:
    """A connection that was made is the answer; it counts from when it was asked for."""
    look = ReadyLook(guest=a_guest(), address="192.0.2.7", port=22)
    told = SimpleNamespace(answer=lambda: ProbeResult(answer=answer))
    controller.network.attach("guests", "guest-1", look.address, look.port, told)
    asked_s = controller.clock.now_s()

    await carried_out(controller, Decision(looks=(look, look)), wait_s=READY_TIMEOUT_S)

    reading = controller.memory.ready()[a_guest()]
    assert (answers, asked_s) == (reading.answers, reading.asked_s)
    assert controller.wake.is_set()


def test_memory__many_guests_asked__the_last_ones_are_kept() -> None:
    """What tenants write must not fill a controller's memory."""
    memory = Memory()
    reading = ReadyReading(answers=True, asked_s=1.0)

    for number in range(READY_MAX + 1):
        memory.saw_ready(a_guest(number), reading)

    assert READY_MAX == len(memory.ready())
    assert a_guest(0) not in memory.ready()
