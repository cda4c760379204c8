"""The guarded heartbeat: when it beats, arms, pets and lets go, and what it says of all that."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from hamon.agent.guarded_heartbeat import GuardedHeartbeat, WatchdogSettings, beat_period_s
from hamon.agent.registration import Registration
from hamon.coordination.codec import decode
from hamon.coordination.paths import Place, PlaceKind, to_path
from hamon.errors import Outcome, WatchdogError
from hamon.model.host import Heartbeat, HostGuard, HostSelf, Leaving, Right, WatchdogFacts
from hamon.model.names import BootId
from hamon.ports.store import Node, SetData
from hamon.ports.watchdog import WatchdogKind
from hamon.sim.store import InMemoryStore, Loss
from hamon.sim.watchdog_device import HARDWARE, InMemoryWatchdog, SimulatedWatchdog
from tests.unit.agent_world import BOOT, HOST, IDENTITIES, LIVE, OWN, World

W_S, R_MAX_S = 12, 2.0
PERIOD_S = beat_period_s(W_S)
HEARTBEAT = to_path(Place(kind=PlaceKind.HEARTBEAT, host=HOST))
SELF = to_path(Place(kind=PlaceKind.SELF, host=HOST))
GUARD = to_path(Place(kind=PlaceKind.GUARD, host=HOST))
SOFT = WatchdogKind(identity="Software Watchdog", is_soft=True, nowayout=False)
FACTS = WatchdogFacts(
    timeout_s=W_S, r_max_s=R_MAX_S, is_soft=False, nowayout=True, identity=HARDWARE.identity
)


class Broken(InMemoryWatchdog):
    """A device that stops to obey."""

    is_obeying = True

    def pet(self) -> None:  # type: ignore[explicit-override]
        """See ``ports.Watchdog``."""
        if not self.is_obeying:
            raise WatchdogError("watchdog", "pet", "memory", Outcome.UNKNOWN, "it went away")
        super().pet()


class Heart:
    """A heartbeat process on a host with a watchdog."""

    def __init__(
        self,
        world: World,
        device: SimulatedWatchdog,
        resume: int = 0,
        boot_id: BootId = BOOT,
    ) -> None:
        self._world = world
        self.device = device
        self.store: InMemoryStore = world.server.connect(OWN, resume=resume)
        self.watchdog = Broken(device)
        self.registration = Registration(
            store=self.store,
            clock=world.clock,
            log=world.log,
            host=HOST,
            facts=HostSelf(boot_id=boot_id, product_uuid=""),
            identities=IDENTITIES,
            former_session=resume,
            is_guarded=True,
        )
        self.heartbeat = GuardedHeartbeat(
            registration=self.registration,
            store=self.store,
            watchdog=self.watchdog,
            settings=WatchdogSettings(timeout_s=W_S, r_max_s=R_MAX_S),
            clock=world.clock,
            log=world.log,
            host=HOST,
        )
        self._task = asyncio.create_task(self.heartbeat.run())

    async def stop(self) -> None:
        """Stop to beat, as at SIGTERM."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def kill(self) -> None:
        """End the process: the kernel closes its device."""
        await self.stop()
        self.store.die()
        self.watchdog.close(disarm=False)

    def pets_within(self, duration_s: float) -> int:
        """Count the pets of the last seconds."""
        return sum(pet_s > self._world.clock.now_s() - duration_s for pet_s in self.device.pets)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A cluster in which the host is enrolled; no process of it runs."""
    world = World()
    await world.prepare()
    yield world
    await world.close()


@pytest.fixture
def device(world: World) -> SimulatedWatchdog:
    """The host's watchdog, not armed."""
    return SimulatedWatchdog(world.clock.now_s)


@pytest.fixture
async def heart(world: World, device: SimulatedWatchdog) -> AsyncIterator[Heart]:
    """A heartbeat process that has armed its watchdog and said so."""
    heart = Heart(world, device)
    await world.pass_s(1.0)
    assert (await said(world)).watchdog == FACTS
    yield heart
    await heart.stop()


async def said(world: World) -> HostSelf:
    """What the host says of itself."""
    value = decode(SELF, (await world.leader.get(SELF)).data)
    assert isinstance(value, HostSelf)
    return value


async def count(world: World) -> int:
    """How many guarded heartbeats the host's session has had."""
    value = decode(HEARTBEAT, (await world.leader.get(HEARTBEAT)).data)
    assert isinstance(value, Heartbeat)
    return value.count


async def test_run__healthy__beats_and_pets_in_step(
    world: World, heart: Heart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One pet and one transaction for each heartbeat, at its pace, and nothing that is read."""

    async def read(path: str, _: object = None) -> Node:
        raise AssertionError(path)

    monkeypatch.setattr(heart.store, "get", read)
    before, pets = await count(world), len(heart.device.pets)

    await world.pass_s(10 * PERIOD_S)

    assert await count(world) - before == len(heart.device.pets) - pets == 10
    assert heart.registration.is_registered
    assert (await world.leader.get(SELF)).version == 2  # registered, and armed
    await heart.stop()


async def test_run__not_registered_yet__leaves_the_device_alone(
    world: World, device: SimulatedWatchdog
) -> None:
    """Opening it is a pet: a boot that was shut out may not."""
    await world.write_guard(HostGuard(right=Right.SHUT_OUT, boot_id=BOOT))
    heart = Heart(world, device)

    await world.pass_s(30)

    assert device.pets == []
    await heart.stop()


async def test_run__convicted__pets_no_more(world: World, heart: Heart) -> None:
    """From the commit of the conviction on, the time of the device runs out."""
    await world.pass_s(PERIOD_S / 2)
    await world.write_guard(HostGuard(right=Right.SHUT_OUT, boot_id=BOOT))

    await world.pass_s(60)

    assert heart.pets_within(60) == 0
    assert "heartbeat_shut_out" in world.log.names()


@pytest.mark.parametrize(
    "guard",
    [
        HostGuard(right=Right.LIVE, is_gate_open=True),
        HostGuard(right=Right.SHUT_OUT, boot_id=BootId("boot-0")),
    ],
)
async def test_run__guard_changed_but_may_live__misses_no_beat(
    world: World, heart: Heart, guard: HostGuard
) -> None:
    """Not every new version of the guard is a conviction of this boot."""
    await world.pass_s(PERIOD_S / 2)
    await world.write_guard(guard)

    await world.pass_s(PERIOD_S)

    assert heart.pets_within(PERIOD_S) == 1


async def test_run__guard_unreadable__does_not_pet(world: World, heart: Heart) -> None:
    """Nobody can say whether this boot may live."""
    node = await world.leader.get(GUARD)
    rubbish = SetData(path=GUARD, data=b'{"schema":99}', version=node.version)
    await world.leader.commit([rubbish])

    await world.pass_s(W_S)

    assert heart.pets_within(W_S) == 0
    assert "heartbeat_held" in world.log.names()


async def test_run__answer_lost__that_beat_does_not_pet_and_the_next_does(
    world: World, heart: Heart
) -> None:
    """An unknown outcome is no proof of the right to live; it is not the end either."""
    pets, before = len(heart.device.pets), await count(world)
    heart.store.lose_next(Loss.REPLY)

    await world.pass_s(PERIOD_S)

    assert (len(heart.device.pets) - pets, await count(world) - before) == (1, 2)


async def test_run__answer_too_slow__does_not_pet(
    world: World, heart: Heart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A heartbeat that took longer than allowed was committed nobody knows when."""
    commit = heart.store.commit

    async def slow_commit(operations: object) -> None:
        await commit(operations)  # type: ignore[arg-type]
        await world.clock.sleep(R_MAX_S + 0.1)

    monkeypatch.setattr(heart.store, "commit", slow_commit)
    before = await count(world)
    await world.pass_s(10 * PERIOD_S)

    assert await count(world) > before
    assert heart.pets_within(9 * PERIOD_S) == 0


async def test_run__device_held_by_another__is_tried_again_and_not_said(
    world: World, device: SimulatedWatchdog
) -> None:
    """A host whose device is somebody else's beats, and is not counted as guarded."""
    device.is_held = True
    heart = Heart(world, device)
    await world.pass_s(2 * PERIOD_S)
    assert (await said(world)).watchdog is None
    assert "watchdog_failed" in world.log.names()

    device.is_held = False
    await world.pass_s(2 * PERIOD_S)

    assert (await said(world)).watchdog == FACTS
    await heart.stop()


async def test_run__device_fails__is_said_no_more(world: World, heart: Heart) -> None:
    """What does not obey does not reset for certain either."""
    heart.watchdog.is_obeying = False

    await world.pass_s(3 * PERIOD_S)

    assert (await said(world)).watchdog is None


async def test_restart__same_boot__goes_on_within_the_timeout(world: World, heart: Heart) -> None:
    """An upgrade of the agent costs no host."""
    session = heart.store.session_id
    await world.pass_s(PERIOD_S / 2)
    await heart.kill()
    deadline_s = heart.device.deadline_s
    await world.pass_s(W_S - 1.0)
    successor = Heart(world, heart.device, resume=session)
    await world.pass_s(0.5)

    assert deadline_s is not None
    assert heart.device.deadline_s is not None
    assert world.clock.now_s() < deadline_s < heart.device.deadline_s
    assert (await said(world)).watchdog == FACTS
    await successor.stop()


async def test_restart__after_the_conviction__opens_nothing(world: World, heart: Heart) -> None:
    """A new process of a convicted boot has no right to pet, and opening is one."""
    session = heart.store.session_id
    await world.write_guard(HostGuard(right=Right.SHUT_OUT, boot_id=BOOT))
    await heart.kill()
    pets = len(heart.device.pets)
    successor = Heart(world, heart.device, resume=session)

    await world.pass_s(60)

    assert len(heart.device.pets) == pets
    await successor.stop()


async def test_announce__leaving__is_said_with_the_next_beat(world: World, heart: Heart) -> None:
    """What is said of the host stays up to date, in the transaction of a heartbeat."""
    heart.registration.announce(Leaving.REBOOT)
    await world.pass_s(0.1)

    assert (await said(world)).leaving is Leaving.REBOOT
    assert (await said(world)).watchdog == FACTS


@pytest.mark.parametrize("nowayout", [True, False])
async def test_leave__announced__withdraws_then_lets_go(world: World, *, nowayout: bool) -> None:
    """Nobody counts on a device that is let go; with nowayout it stays armed all the same."""
    kind = WatchdogKind(identity="timer", is_soft=False, nowayout=nowayout)
    heart = Heart(world, SimulatedWatchdog(world.clock.now_s, kind))
    await world.pass_s(1.0)
    facts = (await said(world)).watchdog
    assert facts is not None
    assert facts.nowayout == nowayout
    await heart.stop()

    await heart.heartbeat.leave()

    assert (await said(world)).watchdog is None
    assert (heart.device.deadline_s is not None) == nowayout
    assert not heart.watchdog.is_open


@pytest.mark.parametrize("spoil", ["beat under way", "answer lost"])
async def test_leave__first_try_spoilt__withdraws_with_the_next(world: World, spoil: str) -> None:
    """A beat that was under way at SIGTERM does not cost an orderly shutdown its time."""
    heart = Heart(world, SimulatedWatchdog(world.clock.now_s, SOFT))
    await world.pass_s(1.0)
    await heart.stop()
    if spoil == "answer lost":
        heart.store.lose_next(Loss.REPLY)
    else:
        node = await heart.store.get(HEARTBEAT)
        late = SetData(path=HEARTBEAT, data=node.data, version=node.version)
        await heart.store.commit([late])

    leaving = asyncio.create_task(heart.heartbeat.leave())
    await world.pass_s(1.0)

    assert leaving.done()
    assert (await said(world)).watchdog is None
    assert heart.device.deadline_s is None


@pytest.mark.parametrize("spoil", ["convicted", "cut off"])
async def test_leave__withdrawal_not_committed__stays_armed(world: World, spoil: str) -> None:
    """As long as a leader may count on the device, it is not disarmed."""
    heart = Heart(world, SimulatedWatchdog(world.clock.now_s, SOFT))
    await world.pass_s(1.0)
    await heart.stop()
    if spoil == "convicted":
        await world.write_guard(HostGuard(right=Right.SHUT_OUT, boot_id=BOOT))
    else:
        heart.store.lose_connection()

    leaving = asyncio.create_task(heart.heartbeat.leave())
    await world.pass_s(1.0)

    assert leaving.done()

    assert heart.device.deadline_s is not None
    assert not heart.watchdog.is_open


async def test_run__software_watchdog__is_said_to_be_soft(world: World) -> None:
    """Whoever accepted it sees what it is."""
    heart = Heart(world, SimulatedWatchdog(world.clock.now_s, SOFT))
    await world.pass_s(1.0)

    facts = (await said(world)).watchdog

    assert facts is not None
    assert facts.is_soft
    await heart.stop()


async def test_reboot__new_boot__says_nothing_of_a_watchdog_before_it_is_armed(
    world: World, heart: Heart
) -> None:
    """What the boot before had armed went with it."""
    await heart.kill()
    await world.pass_s(10)
    heart.device.reset()
    heart.device.is_held = True
    await world.write_guard(LIVE)
    successor = Heart(world, heart.device, boot_id=BootId("boot-2"))
    await world.pass_s(1.0)

    assert ((await said(world)).boot_id, (await said(world)).watchdog) == ("boot-2", None)
    await successor.stop()
