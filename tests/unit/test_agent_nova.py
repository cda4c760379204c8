"""The guests process in a nova cloud: what was evacuated stays off, the rest is Nova's."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from hamon.agent.gate_files import GateOverride
from hamon.coordination.paths import Place, PlaceKind, to_path
from hamon.errors import HypervisorError
from hamon.model.guest import GrantState
from hamon.model.host import DomainState, HostGuard, Right
from hamon.model.names import BootId, GuestId
from hamon.model.policy import Backend
from hamon.ports.store import Node, SetData, WatchCallback
from hamon.sim.host_files import InMemoryHostFiles, InMemoryPermits
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

FOREIGN = GuestId("33333333-3333-4333-8333-333333333333")
SHUT_OUT = HostGuard(right=Right.SHUT_OUT, boot_id=BOOT, incident=INCIDENT)
OTHERS_SHUT_OUT = HostGuard(right=Right.SHUT_OUT, boot_id=BootId("boot-0"), incident=INCIDENT)
OVERRIDE = GateOverride(who="ada", at="T1", reason="ZooKeeper burnt down")
NEW = GuestId("44444444-4444-4444-8444-444444444444")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A compute host of a nova cloud with its agent running, and two guests that Nova started."""
    world = World(Backend.NOVA, WatchedPermits())
    world.hypervisor.define_now(nova_definition(GUEST))
    world.hypervisor.define_now(nova_definition(OTHER, "instance-00000002"))
    await world.prepare()
    await world.register()
    await world.start_agent()
    world.hypervisor.start_now(GUEST)
    world.hypervisor.start_now(OTHER)
    await world.pass_s(1)
    yield world
    await world.close()


class WatchedPermits(InMemoryPermits):
    """Sees which guests were listed before they had their permit."""

    def __init__(self) -> None:
        super().__init__()
        self.listed_too_early: set[GuestId] = set()

    def protect(self, guests: frozenset[GuestId]) -> None:  # type: ignore[explicit-override]
        """Note the guests that a start of is refused from now on."""
        self.listed_too_early |= guests - self.protected() - self.held()
        super().protect(guests)


class NotingStore(InMemoryStore):
    """Knows in which order it was read."""

    def __init__(self, world: World) -> None:
        super().__init__(world.server, frozenset({OWN}))
        self.read: list[str] = []

    async def get(self, path: str, watch: WatchCallback | None = None) -> Node:  # type: ignore[explicit-override]
        """Read a znode, and note it."""
        self.read.append(path)
        return await super().get(path, watch)


class NotingWorld(World):
    """Its agent uses a :class:`NotingStore`."""

    def connect(self) -> InMemoryStore:  # type: ignore[explicit-override]
        """Open a session for the guests process."""
        store = NotingStore(self)
        self.server.admit(store)
        return store


class WatchedFiles(InMemoryHostFiles):
    """Sees what the hook refuses and lets pass when the mark for the gate is written."""

    def __init__(self, permits: InMemoryPermits) -> None:
        super().__init__()
        self._permits = permits
        self.when_noted: list[tuple[frozenset[GuestId], frozenset[GuestId]]] = []

    def note_enforced(self, guard_version: int, now_s: float) -> None:  # type: ignore[explicit-override]
        """Note the list, the permits, and the mark."""
        self.when_noted.append((self._permits.protected(), self._permits.held()))
        super().note_enforced(guard_version, now_s)


def tries_to_start(world: World, guest: GuestId = GUEST) -> bool:
    """Start a guest behind hamon's back; say whether libvirt did it."""
    try:
        world.hypervisor.start_now(guest)
    except HypervisorError:
        return False
    return True


async def come_back(world: World) -> None:
    """Boot the host anew; its guests process is quicker than its heartbeat."""
    await world.reboot()
    await world.register()


def start_new_guest(world: World) -> None:
    """Have Nova define a guest here and start it: new, or come from another host."""
    world.hypervisor.define_now(nova_definition(NEW, "instance-00000003"))
    world.hypervisor.start_now(NEW)


# -- guests that are Nova's to start ------------------------------------------------------------


async def test_guest__no_denial__runs_and_starts_freely(world: World) -> None:
    """Nova decides what runs here."""
    world.hypervisor.stop_now(GUEST)
    await world.pass_s(30)

    assert tries_to_start(world)
    await world.pass_s(30)

    assert frozenset({GUEST, OTHER}) == world.hypervisor.running()


async def test_published__domains_and_nothing_else(world: World) -> None:
    """Inventory and capacity are Nova's; whether a guest runs is what the leader asks."""
    await world.pass_s(30)

    domains = await world.domains()
    capacity = await world.leader.get(to_path(Place(kind=PlaceKind.CAPACITY, host=HOST)))
    assert domains is not None
    assert {GUEST: DomainState.RUNNING, OTHER: DomainState.RUNNING} == dict(domains.domains)
    assert ({}, (), b"") == (await world.inventory(), domains.lost, capacity.data)


@pytest.mark.parametrize(
    "state", [GrantState.OFFERED, GrantState.CLAIMED, GrantState.RUNNING, GrantState.RELEASED]
)
async def test_grant__of_the_other_backend__is_told_once_and_left_alone(
    world: World, state: GrantState
) -> None:
    """Here nobody claims, rebuilds or removes anything."""
    world.hypervisor.stop_now(GUEST)
    await world.pass_s(1)
    await world.offer(state=state)
    await world.pass_s(60)

    assert 1 == world.log.names().count("grant_not_of_this_backend")
    assert state is (await world.grant()).state
    assert frozenset({OTHER}) == world.hypervisor.running()
    assert tries_to_start(world)


# -- denials ------------------------------------------------------------------------------------


async def test_denial__seen__start_is_refused(world: World) -> None:
    """A queued order to start it, or an operator's, must not make a second copy."""
    world.hypervisor.stop_now(GUEST)
    await world.deny()

    assert not tries_to_start(world)
    assert frozenset({OTHER}) == world.permits.held()


async def test_denial__of_a_guest_not_defined_here__is_in_the_list(world: World) -> None:
    """Whoever defines it here by hand cannot start it either."""
    await world.deny(FOREIGN)
    world.hypervisor.define_now(definition(FOREIGN, "by-hand"))

    assert not tries_to_start(world, FOREIGN)


async def test_denial__copy_runs__is_powered_off_and_stays_defined(world: World) -> None:
    """nova-compute cleans up only what it still sees."""
    await world.deny()

    domains = await world.domains()
    assert frozenset({OTHER}) == world.hypervisor.running()
    assert "stale_copy_ended" in world.log.names()
    assert domains is not None
    assert {GUEST: DomainState.SHUTOFF, OTHER: DomainState.RUNNING} == dict(domains.domains)


async def test_denial__no_copy_runs__is_answered(world: World) -> None:
    """The leader opens the gate when every stale copy is off."""
    world.hypervisor.stop_now(GUEST)
    await world.pass_s(1)
    await world.deny()

    grant = await world.grant()
    assert (GrantState.RELEASED, "stale copy is off") == (grant.state, grant.reason)
    assert "stale_copy_ended" not in world.log.names()


async def test_denial__guest_not_defined_here__is_answered(world: World) -> None:
    """nova-compute may have cleaned up already."""
    await world.deny(FOREIGN)

    assert GrantState.RELEASED is (await world.grant(FOREIGN)).state


async def test_denial__libvirt_does_not_answer__copy_is_killed_and_nothing_answered(
    world: World,
) -> None:
    """A copy that writes is ended by its process; that it is off, only libvirt can say."""
    world.hypervisor.pause_daemon()
    await world.pass_s(15)
    await world.deny()
    await world.pass_s(15)
    assert frozenset({OTHER}) == world.hypervisor.running()
    assert GrantState.REVOKED is (await world.grant()).state

    world.hypervisor.resume_daemon()
    await world.pass_s(5)

    assert GrantState.RELEASED is (await world.grant()).state
    assert frozenset({OTHER}) == world.hypervisor.running()


async def test_denial__answered_and_copy_started_all_the_same__is_ended_each_time(
    world: World,
) -> None:
    """Whatever gets past the hook: a RELEASED denial is watched until it is lifted."""
    await world.deny()
    assert GrantState.RELEASED is (await world.grant()).state

    for _ in range(3):
        world.permits.protect(frozenset())
        assert tries_to_start(world)
        await world.pass_s(6)
        assert frozenset({OTHER}) == world.hypervisor.running()

    assert 4 == world.log.names().count("stale_copy_ended")
    assert not tries_to_start(world)


async def test_denial__made_while_the_host_was_dead__ends_what_got_past_the_hook(
    world: World,
) -> None:
    """Such as a guest that was defined in the very last moment, and is in no list."""
    await world.stop_agent()
    await world.write_guard(SHUT_OUT)
    await world.deny()
    world.hypervisor.power_cut()
    world.permits.protect(frozenset())
    assert tries_to_start(world)

    world.boot_id = BootId("boot-2")
    await world.start_agent()

    assert frozenset() == world.hypervisor.running()
    assert GrantState.RELEASED is (await world.grant()).state
    assert not tries_to_start(world)


async def test_denial__lifted__guest_starts_freely(world: World) -> None:
    """The guest is to come back, or the watch is over."""
    await world.deny()
    assert not tries_to_start(world)

    await world.lift_denial()

    assert frozenset({GUEST, OTHER}) == world.permits.held()
    assert tries_to_start(world)
    await world.pass_s(30)
    assert frozenset({GUEST, OTHER}) == world.hypervisor.running()


async def test_denial__unreadable__start_is_refused_and_nothing_ended(world: World) -> None:
    """Only denials exist here: one of a newer schema holds, and kills nothing."""
    await world.deny()
    path = to_path(Place(kind=PlaceKind.GRANT, host=HOST, guest=GUEST))
    node = await world.leader.get(path)
    await world.leader.commit([SetData(path=path, data=b'{"schema":9}', version=node.version)])
    world.permits.protect(frozenset())
    assert tries_to_start(world)
    await world.pass_s(10)

    assert GUEST in world.permits.protected() - world.permits.held()
    assert GUEST in world.hypervisor.running()


async def test_denial__permit_and_service_mark_of_the_other_backend__count_no_more(
    world: World,
) -> None:
    """An incoming live migration of a denied guest is refused, and so goes on where it runs."""
    world.permits.give(GUEST, 1)
    world.files.is_in_service = True
    await world.deny()

    assert not tries_to_start(world)
    assert not world.files.is_in_service


# -- this very boot is shut out -------------------------------------------------------------------


async def test_shut_out__own_boot__ends_only_what_is_novas(world: World) -> None:
    """What nobody evacuates is nobody's second copy."""
    world.hypervisor.define_now(definition(FOREIGN, "monitoring"))
    world.hypervisor.start_now(FOREIGN)
    await world.pass_s(1)

    await world.write_guard(SHUT_OUT)

    assert frozenset({FOREIGN}) == world.hypervisor.running()
    assert not tries_to_start(world), "nova-compute still runs, and may obey a late order"


async def test_shut_out__libvirtd_paused_and_agent_restarted__ends_them_all_the_same(
    world: World,
) -> None:
    """Which guests are Nova's outlives the process; killing them needs no libvirt."""
    world.hypervisor.pause_daemon()
    await world.stop_agent()
    await world.write_guard(SHUT_OUT)
    assert frozenset({GUEST, OTHER}) == world.hypervisor.running()

    await world.start_agent()

    assert frozenset() == world.hypervisor.running()


async def test_shut_out__of_another_boot__ends_nothing_that_is_not_denied(world: World) -> None:
    """The host is back; whether its guests moved is said guest by guest."""
    await world.write_guard(OTHERS_SHUT_OUT)
    await world.pass_s(30)

    assert frozenset({GUEST, OTHER}) == world.hypervisor.running()


# -- after a boot ---------------------------------------------------------------------------------


@pytest.mark.fault("F43")
async def test_boot__agent_has_not_looked__nothing_of_novas_starts(world: World) -> None:
    """Autostart and libvirt-guests are quicker than any agent, and the guest may be elsewhere."""
    world.hypervisor.define_now(definition(FOREIGN, "monitoring"))
    await world.pass_s(1)
    await world.stop_agent()
    world.hypervisor.power_cut()

    assert not tries_to_start(world)
    assert not tries_to_start(world, OTHER)
    assert tries_to_start(world, FOREIGN), "what is not Nova's is not in hamon's care"


async def test_boot__nobody_was_shut_out__guests_start_once_the_agent_has_looked(
    world: World,
) -> None:
    """An ordinary reboot."""
    await come_back(world)

    assert tries_to_start(world)
    assert tries_to_start(world, OTHER)


async def test_boot__shut_out_before__guests_start_when_the_gate_opens(world: World) -> None:
    """Nova may have accepted an evacuation that is denied only later."""
    await world.write_guard(SHUT_OUT)
    await come_back(world)
    await world.pass_s(60)
    assert not tries_to_start(world)
    assert not tries_to_start(world, OTHER)

    await world.deny()
    await world.write_guard(replace(SHUT_OUT, is_gate_open=True))

    assert not tries_to_start(world)
    assert tries_to_start(world, OTHER)


async def test_boot__without_zookeeper__nothing_of_novas_starts(world: World) -> None:
    """The list lies on disk, whether a guest was denied or not."""
    await world.deny()
    world.server.lose_quorum()
    await world.reboot()
    await world.pass_s(60)
    assert not tries_to_start(world)
    assert not tries_to_start(world, OTHER)

    world.server.regain_quorum()
    await world.pass_s(30)
    await world.register()

    assert not tries_to_start(world)
    assert tries_to_start(world, OTHER)


async def test_boot__libvirt_silent__known_guests_are_listed_and_permitted(world: World) -> None:
    """Which guests are Nova's outlives the boot: nothing waits for a listing."""
    await world.stop_agent()
    world.hypervisor.power_cut()
    world.hypervisor.stop_daemon()
    world.files.reboot()
    world.boot_id = BootId("boot-2")
    await world.register()
    await world.start_agent()

    assert frozenset({GUEST, OTHER}) == world.permits.protected() == world.permits.held()


async def test_boot__not_registered_yet__nothing_starts_and_no_mark_is_written(
    world: World,
) -> None:
    """The former boot may be convicted yet: LIVE was said of it."""
    await world.reboot()
    await world.pass_s(60)
    assert not tries_to_start(world)
    assert world.files.enforced() is None

    await world.write_guard(SHUT_OUT)
    await world.register()
    await world.pass_s(60)
    assert not tries_to_start(world)

    await world.write_guard(LIVE)

    assert tries_to_start(world)


async def test_boot__heartbeat_registers__permits_follow_at_once(world: World) -> None:
    """Nobody waits for the next round."""
    await world.reboot()
    assert frozenset() == world.permits.held()

    await world.register()

    assert frozenset({GUEST, OTHER}) == world.permits.held()
    assert world.files.enforced() is not None


async def test_registration__is_read_before_the_guard() -> None:
    """In the other order a conviction of the former boot could fall between the two."""
    world = NotingWorld(Backend.NOVA)
    await world.prepare()
    await world.start_agent()

    own, guard = (
        to_path(Place(kind=kind, host=HOST)) for kind in (PlaceKind.SELF, PlaceKind.GUARD)
    )
    assert isinstance(world.store, NotingStore)
    assert [own, guard] == [path for path in world.store.read if path in {own, guard}][:2]
    await world.close()


async def test_denial__before_the_boot_is_registered__is_obeyed_at_once(world: World) -> None:
    """Also for a guest that is in no list, or has a permit from an earlier process of this boot."""
    await world.register(BootId("boot-0"))
    await world.stop_agent()
    await world.start_agent()
    await world.deny()
    await world.deny(FOREIGN)
    world.hypervisor.define_now(definition(FOREIGN, "by-hand"))

    assert not tries_to_start(world)
    assert not tries_to_start(world, FOREIGN)
    assert frozenset({OTHER}) == world.permits.held()


@pytest.mark.parametrize(
    ("guard", "may_come"),
    [
        (LIVE, True),
        (OTHERS_SHUT_OUT, False),
        (replace(OTHERS_SHUT_OUT, is_gate_open=True), False),
        (SHUT_OUT, False),
    ],
)
async def test_permits__host_serves__may_come_while_a_start_waits(
    world: World, guard: HostGuard, *, may_come: bool
) -> None:
    """Only a host in service is given guests back; elsewhere a start is refused at once."""
    world.files.set_permits_may_come(may_come=not may_come)

    await world.write_guard(guard)
    await world.pass_s(6)

    assert may_come is world.files.may_permits_come


# -- in one boot ----------------------------------------------------------------------------------


async def test_first_start__on_a_live_host__stops_nothing_and_admits_all(world: World) -> None:
    """A host comes into hamon's care with its guests running, and none of them notices."""
    await world.stop_agent()
    world.permits.protect(frozenset())
    world.permits.reboot()
    world.files = InMemoryHostFiles()
    assert isinstance(world.permits, WatchedPermits)
    world.permits.listed_too_early.clear()
    await world.start_agent()
    await world.pass_s(30)

    assert frozenset({GUEST, OTHER}) == world.hypervisor.running()
    assert frozenset({GUEST, OTHER}) == world.permits.protected() == world.permits.held()
    assert set() == world.permits.listed_too_early


async def test_new_guest__defined_by_nova__starts_freely_and_is_then_looked_after(
    world: World,
) -> None:
    """A new server, an evacuation or a live migration to here: no start of it is ever refused."""
    assert isinstance(world.permits, WatchedPermits)
    start_new_guest(world)
    await world.pass_s(1)
    world.hypervisor.stop_now(NEW)

    assert tries_to_start(world, NEW)
    assert NEW in world.permits.protected()
    assert set() == world.permits.listed_too_early


async def test_guest__gone_from_here__leaves_the_list_and_starts_freely_when_it_returns(
    world: World,
) -> None:
    """It was migrated away and may come back; its permit goes a round later than its listing."""
    world.hypervisor.stop_now(GUEST)
    world.hypervisor.undefine_now(GUEST)
    await world.pass_s(30)
    assert frozenset({OTHER}) == world.permits.protected() == world.permits.held()

    world.hypervisor.define_now(nova_definition(GUEST))

    assert tries_to_start(world)


async def test_permits__shut_out_of_another_boot__are_withdrawn_until_it_is_over(
    world: World,
) -> None:
    """While the leader holds the host back nothing starts; what runs is left alone."""
    await world.write_guard(OTHERS_SHUT_OUT)
    world.hypervisor.stop_now(GUEST)
    await world.pass_s(30)
    assert frozenset() == world.permits.held()
    assert not tries_to_start(world)

    await world.write_guard(LIVE)

    assert tries_to_start(world)


async def test_list__held_back_and_configuration_lost__does_not_shrink(world: World) -> None:
    """An operator who restores the definitions does not free what may run elsewhere."""
    await world.write_guard(OTHERS_SHUT_OUT)
    world.hypervisor.stop_now(GUEST)
    await world.pass_s(1)
    world.hypervisor.lose_configuration()
    await world.pass_s(30)

    world.hypervisor.define_now(nova_definition(GUEST))

    assert not tries_to_start(world)


async def test_permits__zookeeper_gone__stay_as_they_are_for_old_and_new(world: World) -> None:
    """Without ZooKeeper a running host goes on; its new guests, too, wait after the next boot."""
    world.server.lose_quorum()
    start_new_guest(world)
    await world.pass_s(60)
    world.hypervisor.stop_now(GUEST)
    world.hypervisor.stop_now(NEW)
    assert tries_to_start(world)
    assert tries_to_start(world, NEW)

    await world.reboot()
    await world.pass_s(60)

    assert not tries_to_start(world, NEW)


async def test_permits__zookeeper_gone_and_agent_restarted__stay_as_they_are(world: World) -> None:
    """A new process knows nothing better; a denied guest had no permit."""
    await world.deny()
    world.server.lose_quorum()
    await world.stop_agent()
    await world.start_agent()
    await world.pass_s(60)
    world.hypervisor.stop_now(OTHER)

    assert tries_to_start(world, OTHER)
    assert not tries_to_start(world)


# -- the mark that the gate waits for -----------------------------------------------------------


async def test_mark__follows_the_guard_and_the_hook(world: World) -> None:
    """The gate opens on the guard's version under which the grants were read last."""
    await world.write_guard(OTHERS_SHUT_OUT)
    first = world.files.enforced()
    await world.write_guard(LIVE)
    second = world.files.enforced()

    assert first is not None
    assert second is not None
    assert second.guard_version == first.guard_version + 1


async def test_mark__zookeeper_gone_over_a_boot__is_not_there(world: World) -> None:
    """Nothing of an earlier boot opens the gate."""
    world.server.lose_quorum()
    await world.reboot()
    await world.pass_s(30)

    assert world.files.enforced() is None


async def test_mark__written__hook_obeys_already(world: World) -> None:
    """nova-compute starts the moment the mark is there."""
    await world.stop_agent()
    await world.deny()
    files = WatchedFiles(world.permits)
    world.files = files
    await world.start_agent()

    assert (frozenset({GUEST, OTHER}), frozenset({OTHER})) == files.when_noted[-1]


async def test_mark__after_a_boot__permits_are_there_already(world: World) -> None:
    """A guest that Nova resumes at once is not refused; each mark finds the hook as it says."""
    await world.stop_agent()
    files = WatchedFiles(world.permits)
    files.set_nova_guests(frozenset({GUEST, OTHER}))
    world.files = files
    await come_back(world)

    assert {(frozenset({GUEST, OTHER}), frozenset({GUEST, OTHER}))} == set(files.when_noted)


# -- an operator's word ---------------------------------------------------------------------------


async def test_override__after_a_boot_without_zookeeper__lets_all_but_denied_guests_start(
    world: World,
) -> None:
    """Else nova-compute would run, and none of its guests."""
    await world.deny()
    world.server.lose_quorum()
    await world.reboot()
    world.files.overridden = OVERRIDE
    await world.pass_s(5)

    told = [facts for event, facts in world.log.seen if event == "permits_given_by_override"]
    assert tries_to_start(world, OTHER)
    assert not tries_to_start(world)
    assert [{"who": "ada", "guests": [OTHER]}] == told


async def test_override__while_the_leader_holds_the_host_back__lets_guests_start(
    world: World,
) -> None:
    """The gate opens on it, too."""
    await world.deny()
    await world.write_guard(OTHERS_SHUT_OUT)
    world.hypervisor.stop_now(OTHER)
    assert not tries_to_start(world, OTHER)

    world.files.overridden = OVERRIDE
    await world.pass_s(6)

    assert tries_to_start(world, OTHER)
    assert not tries_to_start(world)


async def test_override__of_a_boot_that_was_shut_out__lets_nothing_start(world: World) -> None:
    """Not even when ZooKeeper is gone since and a new process has never read the verdict."""
    await world.write_guard(SHUT_OUT)
    world.server.lose_quorum()
    await world.stop_agent()
    world.files.overridden = OVERRIDE
    await world.start_agent()
    await world.pass_s(30)

    assert not tries_to_start(world)
    assert not tries_to_start(world, OTHER)


async def test_override__left_by_an_operator__is_in_this_log_too(world: World) -> None:
    """Also without ZooKeeper, which is when it is used; once."""
    world.server.lose_quorum()
    world.files.overridden = OVERRIDE
    await world.pass_s(30)

    told = [facts for event, facts in world.log.seen if event == "gate_overridden"]
    assert [{"who": "ada", "at": "T1", "reason": "ZooKeeper burnt down"}] == told
