"""Shadow mode on a compute host: hamon keeps its books, and its hands off."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from hamon.agent.gate_files import GateOverride
from hamon.coordination.codec import encode
from hamon.coordination.paths import Place, PlaceKind, to_path
from hamon.model.guest import GrantState
from hamon.model.host import HostGuard, HostMode, Right
from hamon.model.names import BootId, GuestId, HostName
from hamon.model.policy import Backend, Mode
from hamon.ports.store import DeleteNode, SetData, StoreOperation
from hamon.sim.host_files import InMemoryPermits
from hamon.sim.store import InMemoryStore
from tests.unit.agent_world import (
    BOOT,
    GUEST,
    HOST,
    INCIDENT,
    LIVE,
    OTHER,
    OWN,
    World,
    definition,
    nova_definition,
)
from tests.unit.test_agent_nova import tries_to_start

MODE = to_path(Place(kind=PlaceKind.MODE, host=HOST))
GUARD = to_path(Place(kind=PlaceKind.GUARD, host=HOST))
SHUT_OUT = HostGuard(right=Right.SHUT_OUT, boot_id=BOOT, incident=INCIDENT)
OTHERS_SHUT_OUT = replace(SHUT_OUT, boot_id=BootId("boot-0"))
ELSEWHERE = HostName("compute-2")


class NotingPermits(InMemoryPermits):
    """Notes how the list of protected guests changes."""

    def __init__(self, notes: list[object]) -> None:
        super().__init__()
        self._notes = notes

    def protect(self, guests: frozenset[GuestId]) -> None:  # type: ignore[explicit-override]
        """Note a list that differs."""
        if guests != self.protected():
            self._notes.append(guests)
        super().protect(guests)


class NotingStore(InMemoryStore):
    """Notes what is said of the mode. ``convicts``: whether a leader is quicker, once."""

    def __init__(self, world: "NotingWorld") -> None:
        super().__init__(world.server, frozenset({OWN}))
        self._world = world

    async def commit(self, operations: Sequence[StoreOperation]) -> None:  # type: ignore[explicit-override]
        """Commit, and note it."""
        said = any(isinstance(op, SetData) and op.path == MODE for op in operations)
        if said and self._world.convicts:
            self._world.convicts = False
            node = await self._world.leader.get(GUARD)
            data = encode(GUARD, SHUT_OUT)
            await self._world.leader.commit([SetData(path=GUARD, data=data, version=node.version)])
        await super().commit(operations)
        if said:
            self._world.notes.append((await self._world.mode()).is_ungated)


class NotingWorld(World):
    """Notes the order of what is said and what the hook does."""

    def __init__(self, backend: Backend) -> None:
        self.notes: list[object] = []
        self.convicts = False
        super().__init__(backend, NotingPermits(self.notes))

    def connect(self) -> InMemoryStore:  # type: ignore[explicit-override]
        """Open a session for the guests process."""
        store = NotingStore(self)
        self.server.admit(store)
        return store


@pytest.fixture(params=list(Backend))
async def world(request: pytest.FixtureRequest) -> AsyncIterator[NotingWorld]:
    """A host with two guests that run, in active mode."""
    world = NotingWorld(request.param)
    await world.prepare()
    await world.register()
    make = definition if world.backend is Backend.LIBVIRT else nova_definition
    world.hypervisor.define_now(make(GUEST))
    world.hypervisor.define_now(make(OTHER, "db"))
    world.hypervisor.start_now(GUEST)
    world.hypervisor.start_now(OTHER)
    await world.start_agent()
    if world.backend is Backend.LIBVIRT:
        await world.adopt(GUEST)
        await world.adopt(OTHER)
    await world.pass_s(1)
    world.notes.clear()
    yield world
    await world.close()


async def reboot(world: World) -> None:
    """Boot anew, and have the heartbeat register it if it can."""
    await world.reboot()
    await world.register()
    await world.pass_s(10)


def starts(world: World) -> tuple[bool, bool]:
    """Try to start both guests behind hamon's back."""
    return tries_to_start(world, GUEST), tries_to_start(world, OTHER)


async def test_active__after_a_boot_without_zookeeper__nothing_starts(world: NotingWorld) -> None:
    """As it is without shadow mode, for comparison."""
    world.server.lose_quorum()
    await world.reboot()
    await world.pass_s(10)

    assert (False, False) == starts(world)


@pytest.mark.parametrize("has_quorum", [True, False])
async def test_shadow__after_a_boot__nothing_is_started_and_nothing_refused(
    world: NotingWorld, *, has_quorum: bool
) -> None:
    """Whoever starts a guest does it as if there were no hamon, also without ZooKeeper."""
    await world.tell_mode(Mode.SHADOW)
    if not has_quorum:
        world.server.lose_quorum()
    await world.reboot()
    await world.pass_s(60)

    assert frozenset() == world.hypervisor.running()
    assert (True, True) == starts(world)
    assert "start_refused" not in world.log.names()
    assert world.files.is_shadow()


async def test_shadow__begins_and_ends__is_said_before_and_taken_back_after(
    world: NotingWorld,
) -> None:
    """In between no guest is let through of which a leader may believe that it is held back."""
    await world.tell_mode(Mode.SHADOW)
    await world.pass_s(10)
    assert HostMode(mode=Mode.SHADOW, is_ungated=True) == await world.mode()
    assert world.files.is_shadow()

    await world.tell_mode(Mode.ACTIVE)
    await world.pass_s(10)

    assert [True, frozenset(), frozenset({GUEST, OTHER}), False] == world.notes
    assert HostMode() == await world.mode()
    assert not world.files.is_shadow()
    assert frozenset({GUEST, OTHER}) == world.permits.held()


async def test_shadow__the_leader_convicts_first__nothing_is_let_through(
    world: NotingWorld,
) -> None:
    """Of a conviction and the beginning of shadow mode only one is committed."""
    world.convicts = True
    await world.tell_mode(Mode.SHADOW)
    await world.pass_s(10)

    assert not (await world.mode()).is_ungated
    assert frozenset() not in world.notes
    assert (False, False) == starts(world)


@pytest.mark.parametrize("guard", [SHUT_OUT, OTHERS_SHUT_OUT])
async def test_shadow__host_is_shut_out__does_not_count(
    world: NotingWorld, guard: HostGuard
) -> None:
    """What hamon began in active mode is ended as in active mode."""
    await world.write_guard(guard)
    await world.tell_mode(Mode.SHADOW)
    await world.pass_s(10)

    assert not world.files.is_shadow()
    assert not (await world.mode()).is_ungated
    assert frozenset({GUEST, OTHER}) == world.permits.protected()


async def test_shadow__shut_out_by_hand__what_runs_is_ended_and_refused(
    world: NotingWorld,
) -> None:
    """An operator may convict a host that still goes by shadow mode."""
    await world.tell_mode(Mode.SHADOW)
    await world.pass_s(10)

    await world.write_guard(SHUT_OUT)
    await world.pass_s(10)

    assert frozenset() == world.hypervisor.running()
    assert (False, False) == starts(world)
    assert not (await world.mode()).is_ungated


@pytest.mark.parametrize("state", [GrantState.REVOKED, GrantState.RELEASED])
async def test_shadow__guest_was_moved_away_before__stays_refused_over_a_boot_without_zookeeper(
    world: NotingWorld, state: GrantState
) -> None:
    """It runs elsewhere by hamon's doing; the other one does not."""
    world.hypervisor.stop_now(GUEST)
    await world.tell_mode(Mode.SHADOW)
    await world.deny(GUEST, state=state, moved_to=ELSEWHERE)
    await world.pass_s(10)
    world.server.lose_quorum()
    await world.reboot()
    await world.pass_s(10)

    assert (False, True) == starts(world)


async def test_shadow__guest_was_moved_away_before__its_copy_is_left_alone(
    world: NotingWorld,
) -> None:
    """Nothing is stopped and nothing undefined."""
    await world.tell_mode(Mode.SHADOW)
    await world.deny(GUEST, generation=9)
    await world.pass_s(60)

    assert GUEST in world.hypervisor.running()
    assert GrantState.REVOKED is (await world.grant(GUEST)).state


@pytest.mark.parametrize("backend", [Backend.LIBVIRT])
async def test_shadow__offer_with_a_definition__waits_for_active_mode(backend: Backend) -> None:
    """A guest that was on its way here is not started: it may yet go to another host."""
    world = World(backend)
    await world.prepare()
    await world.register()
    await world.start_agent()
    await world.tell_mode(Mode.SHADOW)
    await world.offer()
    await world.pass_s(60)
    world.hypervisor.define_now(definition())
    assert not tries_to_start(world)
    assert GrantState.OFFERED is (await world.grant()).state
    assert frozenset() == world.hypervisor.running()

    await world.tell_mode(Mode.ACTIVE)
    await world.pass_s(10)

    assert GrantState.RUNNING is (await world.grant()).state
    assert frozenset({GUEST}) == world.hypervisor.running()
    await world.close()


@pytest.mark.parametrize("world", [Backend.LIBVIRT], indirect=True)
@pytest.mark.parametrize("is_leftover", [True, False])
async def test_shadow__released_guest__starts_unless_its_definition_was_made_for_a_rebuild(
    world: NotingWorld, *, is_leftover: bool
) -> None:
    """What is left of a rebuild that failed here is of a guest that went on to another host."""
    world.hypervisor.stop_now(GUEST)
    world.files.set_leftover(GUEST, is_leftover=is_leftover)
    await world.tell_mode(Mode.SHADOW)
    await world.write_grant(GUEST, replace(await world.grant(), state=GrantState.RELEASED))
    await world.pass_s(10)

    assert (not is_leftover) == tries_to_start(world)
    assert is_leftover == (GUEST in world.files.leftovers())


@pytest.mark.parametrize("world", [Backend.LIBVIRT], indirect=True)
async def test_shadow__host_reboots__books_are_kept_and_active_mode_starts_nothing(
    world: NotingWorld,
) -> None:
    """At the switch what runs runs, what is off stays off, and both are looked after."""
    await world.tell_mode(Mode.SHADOW)
    await reboot(world)
    assert tries_to_start(world, GUEST)
    await world.pass_s(10)

    grants = [await world.grant(guest) for guest in (GUEST, OTHER)]
    assert [(GrantState.RUNNING, world.boot_id)] * 2 == [(g.state, g.boot_id) for g in grants]
    await world.tell_mode(Mode.ACTIVE)
    await world.pass_s(60)

    assert frozenset({GUEST}) == world.hypervisor.running()
    assert frozenset({GUEST, OTHER}) == world.permits.held() == world.permits.protected()


async def test_mode__znode_of_a_newer_hamon__all_stays_as_it_is(world: NotingWorld) -> None:
    """And what was granted is read all the same."""
    await world.tell_mode(Mode.SHADOW)
    await world.pass_s(10)
    node = await world.leader.get(MODE)
    newer = SetData(path=MODE, data=b'{"schema":99}', version=node.version)
    await world.leader.commit([newer])
    world.hypervisor.stop_now(GUEST)
    await world.deny(GUEST)
    await world.pass_s(60)

    assert world.files.is_shadow()
    assert (False, False) == (tries_to_start(world, GUEST), OTHER in world.permits.protected())


async def test_mode__no_znode__is_active(world: NotingWorld) -> None:
    """An older leader makes none, and knows of no shadow mode here."""
    node = await world.leader.get(MODE)
    await world.leader.commit([DeleteNode(path=MODE, version=node.version)])
    await world.write_guard(LIVE)
    await world.reboot()
    await world.register()
    await world.pass_s(10)

    assert not world.files.is_shadow()
    assert frozenset({GUEST, OTHER}) == world.permits.protected()


@pytest.mark.parametrize("world", [Backend.NOVA], indirect=True)
async def test_shadow__gate_overridden_without_zookeeper__no_guest_gets_on_the_list(
    world: NotingWorld,
) -> None:
    """The list outlives the boot, and the override does not."""
    await world.tell_mode(Mode.SHADOW)
    await world.pass_s(10)
    world.server.lose_quorum()
    await world.reboot()
    world.files.overridden = GateOverride(who="ada", at="T1", reason="ZooKeeper burnt down")
    await world.pass_s(10)

    assert frozenset() == world.permits.protected()


@pytest.mark.parametrize("world", [Backend.NOVA], indirect=True)
async def test_active__boot_not_registered_yet__ungated_is_not_taken_back(
    world: NotingWorld,
) -> None:
    """Before that nobody holds the guests of this boot back."""
    await world.tell_mode(Mode.SHADOW)
    await world.pass_s(10)
    await world.stop_agent()
    await world.tell_mode(Mode.ACTIVE)
    await world.reboot()
    await world.pass_s(10)
    assert HostMode(is_ungated=True) == await world.mode()

    await world.register()
    await world.pass_s(10)

    assert HostMode() == await world.mode()
    assert frozenset({GUEST, OTHER}) == world.permits.protected()
