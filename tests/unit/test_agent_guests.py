"""The guests process: what runs here follows what ZooKeeper grants."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from hamon.model.guest import GrantState, NotMovable, PowerState
from hamon.model.host import DomainState, HostGuard, Leaving, Right
from hamon.model.names import BootId, GuestId, HostName
from hamon.ports.store import SetData
from tests.unit.agent_world import BOOT, GUEST, INCIDENT, LIVE, OTHER, World, definition

ELSEWHERE = HostName("compute-2")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A host in service with its agent running."""
    world = World()
    await world.prepare()
    await world.start_agent()
    yield world
    await world.close()


async def own_guest(world: World, *, is_running: bool = True) -> None:
    """Have the host own a guest that its operator defined and started."""
    world.hypervisor.define_now(definition())
    if is_running:
        world.hypervisor.start_now(GUEST)
    await world.pass_s(1)
    await world.adopt(wanted=PowerState.RUNNING if is_running else PowerState.SHUTOFF)
    assert (await world.grant()).state is GrantState.RUNNING


# -- claims -----------------------------------------------------------------------------------


async def test_offer__of_this_boot__is_claimed_started_and_settled(world: World) -> None:
    """RUNNING is written when libvirt says so, and everybody can see the domain by then."""
    await world.offer()

    grant = await world.grant()
    domains = await world.domains()
    assert (GrantState.RUNNING, BOOT, "") == (grant.state, grant.boot_id, grant.definition)
    assert frozenset({GUEST}) == world.hypervisor.running()
    assert frozenset({GUEST}) == world.permits.held()
    assert domains is not None
    assert {GUEST: DomainState.RUNNING} == dict(domains.domains)
    assert (await world.inventory())[GUEST].is_protected


async def test_offer__of_another_boot__is_left_alone(world: World) -> None:
    """An offer is bound to one boot of the destination."""
    await world.offer(boot_id=BootId("boot-0"))
    await world.pass_s(10)

    assert GrantState.OFFERED is (await world.grant()).state
    assert frozenset() == world.hypervisor.running()


async def test_offer__wanted_off__is_defined_and_settled(world: World) -> None:
    """A guest that was off is rebuilt off."""
    await world.offer(wanted=PowerState.SHUTOFF)

    assert GrantState.RUNNING is (await world.grant()).state
    assert frozenset() == world.hypervisor.running()
    assert PowerState.SHUTOFF is (await world.inventory())[GUEST].wanted


async def test_offer__host_shut_out_meanwhile__starts_nothing(world: World) -> None:
    """A claim and a conviction exclude each other through the guard's version."""
    await world.write_guard(HostGuard(right=Right.SHUT_OUT, boot_id=BootId("boot-0")))
    await world.offer()
    await world.pass_s(10)

    assert GrantState.OFFERED is (await world.grant()).state
    assert frozenset() == world.hypervisor.running()


async def test_offer__disk_is_not_there__is_released_unclaimed(world: World) -> None:
    """What cannot work is said before anything is begun, with the reason."""
    world.missing_paths.add("/srv/guests/web.img")
    await world.offer()

    grant = await world.grant()
    assert GrantState.RELEASED is grant.state
    assert "/srv/guests/web.img cannot be read" == grant.reason
    assert frozenset() == world.permits.held()


async def test_offer__host_is_leaving__is_released(world: World) -> None:
    """A host that goes takes nothing on."""
    world.files.announced = Leaving.REBOOT
    await world.offer()

    assert GrantState.RELEASED is (await world.grant()).state


async def test_offer__definition_is_refused__is_released_and_leaves_nothing(world: World) -> None:
    """A definition that does not define here goes on to another host."""
    await world.offer(definition="<domain><name>web</name></domain>")

    grant = await world.grant()
    assert GrantState.RELEASED is grant.state
    assert "definition" in grant.reason


async def test_start__fails_after_the_gate__is_found_out_and_released(world: World) -> None:
    """A start that passed the gate is released only after libvirt said that nothing runs."""
    world.hypervisor.let_starts_fail(GUEST, "no such machine type")
    await world.offer()

    grant = await world.grant()
    domains = await world.domains()
    assert (GrantState.RELEASED, "no such machine type") == (grant.state, grant.reason)
    assert domains is not None
    assert {} == dict(domains.domains)
    assert frozenset() == world.permits.held()


async def test_start__libvirtd_paused__is_given_away_and_refused_when_it_resumes(
    world: World,
) -> None:
    """The late start of a guest that was given away must not run (safety.md 5.1)."""
    await world.pass_s(1)
    world.hypervisor.pause_next_start()
    await world.offer()
    assert GrantState.CLAIMED is (await world.grant()).state
    await world.pass_s(12)
    assert GrantState.RELEASED is (await world.grant()).state

    world.hypervisor.resume_daemon()
    await world.pass_s(10)

    domains = await world.domains()
    assert frozenset() == world.hypervisor.running()
    assert domains is not None
    assert {} == dict(domains.domains), "the definition left behind goes when libvirt answers"


async def test_start__passed_the_gate_and_no_answer__stays_claimed_until_known(
    world: World,
) -> None:
    """Without certainty the claim is kept: nobody else may have the guest."""
    world.hypervisor.lose_answer_of_next_start()
    await world.offer()
    await world.pass_s(30)
    assert GrantState.CLAIMED is (await world.grant()).state
    assert frozenset({GUEST}) == world.hypervisor.running()

    world.hypervisor.resume_daemon()
    await world.pass_s(5)

    assert GrantState.RUNNING is (await world.grant()).state
    assert frozenset({GUEST}) == world.hypervisor.running()
    assert frozenset({GUEST}) == world.permits.held()


async def test_agent__killed_with_a_claim__goes_on_with_it(world: World) -> None:
    """A claim outlives the process that made it."""
    world.hypervisor.pause_next_start()
    await world.offer()
    await world.stop_agent()
    world.hypervisor.resume_daemon()
    await world.start_agent()
    await world.pass_s(10)

    assert GrantState.RUNNING is (await world.grant()).state
    assert frozenset({GUEST}) == world.hypervisor.running()


@pytest.mark.fault("F19")
async def test_generation__lower_than_seen__is_never_acted_on(world: World) -> None:
    """An ensemble that was rolled back cannot have a guest started a second time."""
    world.files.remember_seen(GUEST, 7)
    await world.offer(generation=6)
    await world.pass_s(10)

    assert GrantState.OFFERED is (await world.grant()).state
    assert "generation_went_back" in world.log.names()


# -- permits ----------------------------------------------------------------------------------


async def test_adoption__running_guest__gets_its_permit_and_nothing_is_started(
    world: World,
) -> None:
    """A guest that its operator defined becomes protected without a hitch."""
    await own_guest(world)

    assert frozenset({GUEST}) == world.permits.held()
    assert frozenset({GUEST}) == world.permits.protected()


async def test_permit__grant_released_by_leader__is_withdrawn(world: World) -> None:
    """Permits exist for exactly what is owned here."""
    await own_guest(world)
    await world.write_grant(GUEST, replace(await world.grant(), state=GrantState.RELEASED))

    assert frozenset() == world.permits.held()
    assert frozenset({GUEST}) == world.permits.protected()


@pytest.mark.parametrize("turns", range(0, 20, 4))
async def test_permit__work_settles_while_a_round_reads__is_not_withdrawn(
    world: World, turns: int
) -> None:
    """A round does not act on what it read of a guest before the work on that guest ended."""
    for number in range(8):
        await world.offer(GuestId(f"3333333{number}-3333-4333-8333-333333333333"))
    world.hypervisor.pause_next_start()
    await world.offer()
    assert GrantState.CLAIMED is (await world.grant()).state

    world.store.break_connection()
    for _ in range(turns):
        await asyncio.sleep(0)
    world.hypervisor.resume_daemon()
    await world.pass_s(2)

    assert GrantState.RUNNING is (await world.grant()).state
    assert "permit_withdrawn" not in world.log.names()


async def test_grant__unreadable__permit_stays_and_nothing_is_started(world: World) -> None:
    """A newer schema is never guessed at."""
    await own_guest(world)
    path = f"/hosts/compute-1/grants/{GUEST}"
    node = await world.leader.get(path)
    await world.leader.commit([SetData(path=path, data=b'{"schema":9}', version=node.version)])
    await world.pass_s(10)

    assert frozenset({GUEST}) == world.permits.held()
    assert "grant_unreadable" in world.log.names()


async def test_guest__opted_out_later__may_start_freely(world: World) -> None:
    """An operator who takes a guest from hamon's care gets it back whole."""
    await own_guest(world, is_running=False)
    opted_out = definition().replace(
        "<vcpu>",
        '<metadata><g:guest xmlns:g="urn:hamon:guest:1" protect="no"/></metadata><vcpu>',
    )
    world.hypervisor.define_now(opted_out)
    await world.pass_s(10)
    assert (NotMovable.OPTED_OUT,) == (await world.inventory())[GUEST].not_movable
    await world.write_grant(GUEST, replace(await world.grant(), state=GrantState.RELEASED))
    await world.pass_s(10)

    world.hypervisor.start_now(GUEST)

    assert frozenset({GUEST}) == world.hypervisor.running()


# -- without ZooKeeper ------------------------------------------------------------------------


async def test_zookeeper__gone__guests_run_on_and_permits_stay(world: World) -> None:
    """Losing ZooKeeper costs nobody a guest."""
    await own_guest(world)
    world.server.lose_quorum()
    await world.pass_s(60)

    assert frozenset({GUEST}) == world.hypervisor.running()
    assert frozenset({GUEST}) == world.permits.held()


async def test_zookeeper__gone_over_a_boot__starts_nothing(world: World) -> None:
    """After a boot only ZooKeeper can say whether the guest is still this host's."""
    await own_guest(world)
    world.server.lose_quorum()
    await world.reboot()
    await world.pass_s(60)
    assert frozenset() == world.hypervisor.running()
    assert not world.permits.admit(GUEST)

    world.server.regain_quorum()
    await world.pass_s(10)

    assert frozenset({GUEST}) == world.hypervisor.running()


async def test_session__expired__grants_are_followed_again(world: World) -> None:
    """Watches die with a session; the next one leaves its own."""
    world.server.expire_all()
    await world.pass_s(1)
    await world.offer()
    await world.pass_s(1)

    assert GrantState.RUNNING is (await world.grant()).state


# -- restart in place, return, shut out ---------------------------------------------------------


async def test_connection__lost_and_back__offers_are_still_seen_at_once(world: World) -> None:
    """Watches go with the connection, not only with the session: all of them are left anew."""
    world.store.break_connection()
    await world.pass_s(1)
    await world.offer()

    assert GrantState.RUNNING is (await world.grant()).state


async def test_reboot__nobody_convicted__restarts_what_is_wanted(world: World) -> None:
    """A host that rebooted by itself brings its guests back under a new claim."""
    await own_guest(world)
    await world.reboot()
    await world.pass_s(10)

    grant = await world.grant()
    assert (GrantState.RUNNING, world.boot_id) == (grant.state, grant.boot_id)
    assert frozenset({GUEST}) == world.hypervisor.running()


async def test_reboot__guest_was_off__stays_off(world: World) -> None:
    """Nothing is started that nobody wants."""
    await own_guest(world, is_running=False)
    await world.reboot()
    await world.pass_s(10)

    assert frozenset() == world.hypervisor.running()
    assert PowerState.SHUTOFF is (await world.inventory())[GUEST].wanted


async def test_return__guest_moved_away__copy_goes_and_is_answered(world: World) -> None:
    """A stale copy is destroyed and undefined on the leader's word, then its grant released."""
    await own_guest(world)
    await world.write_guard(HostGuard(right=Right.SHUT_OUT, boot_id=BOOT, incident=INCIDENT))
    await world.stop_agent()
    await world.revoke(moved_to=ELSEWHERE, generation=2)
    await world.reboot()
    await world.pass_s(10)

    domains = await world.domains()
    assert GrantState.RELEASED is (await world.grant()).state
    assert domains is not None
    assert {} == dict(domains.domains)
    assert {} == await world.inventory()


async def test_return__moved_away_and_definition_lost__entry_goes(world: World) -> None:
    """A guest that lives elsewhere leaves nothing here that could make this host its owner."""
    await own_guest(world)
    world.hypervisor.lose_configuration()
    await world.write_guard(HostGuard(right=Right.SHUT_OUT, boot_id=BOOT, incident=INCIDENT))
    await world.stop_agent()
    await world.revoke(moved_to=ELSEWHERE, generation=2)
    await world.reboot()
    await world.pass_s(10)

    assert GrantState.RELEASED is (await world.grant()).state
    assert {} == await world.inventory()


async def test_return__migration_still_open__copy_is_left_alone_and_cannot_start(
    world: World,
) -> None:
    """Until the migration is closed nobody knows whether this copy is stale."""
    await own_guest(world)
    await world.write_guard(HostGuard(right=Right.SHUT_OUT, boot_id=BOOT, incident=INCIDENT))
    await world.stop_agent()
    await world.revoke()
    await world.reboot()
    await world.pass_s(30)

    assert GrantState.REVOKED is (await world.grant()).state
    assert GUEST in await world.inventory()
    assert not world.permits.admit(GUEST)


@pytest.mark.fault("F19")
async def test_return__copy_has_the_higher_generation__is_kept(world: World) -> None:
    """A rolled-back ensemble cannot have the only true copy deleted."""
    await own_guest(world)
    await world.stop_agent()
    await world.revoke(moved_to=ELSEWHERE, generation=1)
    await world.reboot()
    await world.pass_s(30)

    assert GUEST in await world.inventory()
    assert "stale_copy_kept" in world.log.names()


async def test_return__guest_stays__is_started_once_the_host_is_in_service(world: World) -> None:
    """What no destination had is given to the new boot, and waits for the right to live."""
    await own_guest(world)
    await world.write_guard(HostGuard(right=Right.SHUT_OUT, boot_id=BOOT, incident=INCIDENT))
    await world.stop_agent()
    await world.revoke()
    await world.reboot()
    await world.offer(definition="", generation=3)
    await world.pass_s(10)
    assert frozenset() == world.hypervisor.running()

    await world.write_guard(LIVE)
    await world.pass_s(5)

    assert frozenset({GUEST}) == world.hypervisor.running()


async def test_shut_out__own_boot__protected_guests_end_and_cannot_start(world: World) -> None:
    """A boot that was given up must not write to anybody's disk."""
    await own_guest(world)
    world.hypervisor.define_now(definition(OTHER, "local", "/var/local.img"))
    world.hypervisor.start_now(OTHER)
    await world.pass_s(5)

    await world.write_guard(HostGuard(right=Right.SHUT_OUT, boot_id=BOOT, incident=INCIDENT))

    assert frozenset({OTHER}) == world.hypervisor.running()
    assert frozenset() == world.permits.held()
    assert not world.files.is_in_service
    assert PowerState.RUNNING is (await world.inventory())[GUEST].wanted


async def test_shut_out__libvirtd_paused__guests_end_all_the_same(world: World) -> None:
    """QEMU is killed by its process when libvirt does not answer."""
    await own_guest(world)
    world.hypervisor.pause_daemon()
    await world.pass_s(20)

    await world.write_guard(HostGuard(right=Right.SHUT_OUT, boot_id=BOOT, incident=INCIDENT))

    assert frozenset() == world.hypervisor.running()


# -- publishing -------------------------------------------------------------------------------


async def test_wanted__operator_stops_the_guest__follows(world: World) -> None:
    """While the host lives the wanted state is what operators do."""
    await own_guest(world)
    world.hypervisor.stop_now(GUEST)
    await world.pass_s(15)

    assert PowerState.SHUTOFF is (await world.inventory())[GUEST].wanted


async def test_wanted__qemu_crashes__is_unchanged(world: World) -> None:
    """A crash is no wish."""
    await own_guest(world)
    world.hypervisor.crash_now(GUEST)
    await world.pass_s(15)

    assert PowerState.RUNNING is (await world.inventory())[GUEST].wanted


async def test_wanted__stopped_while_leaving__is_unchanged(world: World) -> None:
    """A host on its way down takes its guests along; they are wanted all the same."""
    await own_guest(world)
    world.files.announced = Leaving.SHUTDOWN
    world.hypervisor.stop_now(GUEST)
    await world.pass_s(15)

    assert PowerState.RUNNING is (await world.inventory())[GUEST].wanted


async def test_wanted__power_fails_just_after_a_stop__is_unchanged(world: World) -> None:
    """A stop counts only when the host lives on for a while."""
    await own_guest(world)
    world.hypervisor.stop_now(GUEST)
    await world.pass_s(1)
    await world.reboot()
    await world.pass_s(10)

    assert frozenset({GUEST}) == world.hypervisor.running()


async def test_inventory__guest_undefined__entry_goes(world: World) -> None:
    """A guest that its operator removed is removed."""
    await own_guest(world, is_running=False)
    world.hypervisor.undefine_now(GUEST)
    await world.pass_s(6)

    assert {} == await world.inventory()


@pytest.mark.parametrize("turns", range(12))
async def test_inventory__undefined_while_it_is_published__entry_goes(
    world: World, turns: int
) -> None:
    """An undefine is not lost between an older listing and the newest one."""
    await own_guest(world, is_running=False)
    world.hypervisor.define_now(definition(OTHER, "db"))
    for _ in range(turns):
        await asyncio.sleep(0)
    world.hypervisor.undefine_now(OTHER)
    world.hypervisor.undefine_now(GUEST)
    await world.pass_s(30)

    domains = await world.domains()
    assert domains is not None
    assert ({}, ()) == (await world.inventory(), domains.lost)


async def test_inventory__libvirtd_lost_its_configuration__entries_stay(world: World) -> None:
    """What another host could rebuild the guests from is not lost with libvirt's folder."""
    await own_guest(world)
    world.hypervisor.define_now(definition(OTHER, "db"))
    await world.pass_s(1)
    before = await world.inventory()
    world.hypervisor.lose_configuration()
    await world.pass_s(30)

    domains = await world.domains()
    assert before == await world.inventory()
    assert before.keys() == {GUEST, OTHER}
    assert before[GUEST].is_protected
    assert domains is not None
    assert domains.is_healthy
    assert {GUEST: DomainState.RUNNING} == dict(domains.domains)
    assert (GUEST, OTHER) == domains.lost


async def test_inventory__definition_back__is_no_longer_called_lost(world: World) -> None:
    """Whoever restores libvirt's configuration has nothing else to do."""
    await own_guest(world, is_running=False)
    world.hypervisor.lose_configuration()
    await world.pass_s(30)
    world.hypervisor.define_now(definition())
    await world.pass_s(10)

    domains = await world.domains()
    assert domains is not None
    assert () == domains.lost


async def test_forget__definition_lost__entry_goes(world: World) -> None:
    """An operator can say that a definition which vanished was meant to go."""
    await own_guest(world)
    world.hypervisor.define_now(definition(OTHER, "db"))
    await world.pass_s(1)
    world.hypervisor.lose_configuration()
    await world.pass_s(30)
    world.files.to_forget = frozenset({GUEST, OTHER})
    await world.pass_s(10)

    inventory = await world.inventory()
    domains = await world.domains()
    assert domains is not None
    assert () == domains.lost
    assert {GUEST} == inventory.keys(), "it runs, so it is listed on"
    assert (NotMovable.TRANSIENT,) == inventory[GUEST].not_movable
    assert frozenset() == world.files.to_forget


async def test_forget__libvirt_has_its_definition__is_refused(world: World) -> None:
    """A guest that is defined is undefined through libvirt, and nowhere else."""
    await own_guest(world)
    world.files.to_forget = frozenset({GUEST})
    await world.pass_s(10)

    assert (await world.inventory())[GUEST].is_protected
    assert "forget_refused" in world.log.names()
    assert frozenset() == world.files.to_forget


async def test_inventory__undefined_while_nobody_looked__is_called_lost(world: World) -> None:
    """Without an event nobody knows whether an operator wanted it; the entry stays and pages."""
    await own_guest(world, is_running=False)
    await world.stop_agent()
    world.hypervisor.undefine_now(GUEST)
    await world.start_agent()
    await world.pass_s(30)

    domains = await world.domains()
    assert domains is not None
    assert (GUEST,) == domains.lost
    assert GUEST in await world.inventory()


async def test_inventory__running_guest_undefined__is_no_longer_protected(world: World) -> None:
    """An operator who undefines a running guest takes it out of hamon's care."""
    await own_guest(world)
    world.hypervisor.undefine_now(GUEST)
    await world.pass_s(6)

    assert (NotMovable.TRANSIENT,) == (await world.inventory())[GUEST].not_movable


async def test_domains__libvirt_does_not_answer__are_marked_unhealthy(world: World) -> None:
    """Nothing may be concluded from a listing that is old."""
    await own_guest(world)
    world.hypervisor.pause_daemon()
    await world.pass_s(12)

    domains = await world.domains()
    assert domains is not None
    assert not domains.is_healthy
    assert {GUEST: DomainState.RUNNING} == dict(domains.domains)
