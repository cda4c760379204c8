"""The contract of ``ports.Cloud``, kept by the Nova in memory and by a real one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from hamon.clock import SystemClock
from hamon.errors import (
    CloudConflictError,
    CloudMissingError,
    CloudRefusedError,
    CloudUnavailableError,
    Outcome,
)
from hamon.model.cloud import COMPUTE, EVACUATION, ComputeService, Progress
from hamon.model.names import GuestId, guest_id
from hamon.sim.cloud import CloudFault
from tests.contract.cloud_worlds import HOSTS, MemoryWorld, RealWorld, World, until
from tests.openstack import NEEDS_OPENSTACK
from tests.shared_lab import SharedLab

pytestmark = pytest.mark.contract

NOBODY = guest_id("99999999-0000-4000-8000-000000000000")
REASON = "hamon: incident h1-1"
LONG_AGO = "2020-01-01T00:00:00Z"

REAL = pytest.param("real", marks=[*NEEDS_OPENSTACK, pytest.mark.slow])


@pytest.fixture(params=["memory", REAL])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """Each kind of Nova, with two computes and no server."""
    if request.param == "memory":
        yield MemoryWorld()
        return
    shared: SharedLab = request.getfixturevalue("nova_lab")
    lab, _ = shared.repaired()
    real = RealWorld(lab, tmp_path / "password")
    with real.place():
        yield real
    real.close()


def soon() -> float:
    """A moment that is not over before a call can begin."""
    return SystemClock().now_s() + 30.0


async def service(world: World, host: str) -> ComputeService:
    """A host's nova-compute."""
    return next(s for s in await world.cloud.services() if s.host == host)


async def shut_out(world: World, host: str) -> ComputeService:
    """A host without power whose nova-compute is shut out."""
    await world.lose(host)
    found = await service(world, host)
    await world.cloud.shut_out(found.id, REASON)
    return found


async def status(world: World, guest: GuestId) -> str:
    """The status of a server's newest evacuation."""
    found = [m for m in await world.cloud.migrations(host="h1") if m.guest == guest]
    return found[-1].status if found else ""


async def test_services__of_a_cloud_that_is_well__are_up_and_enabled(world: World) -> None:
    """Every nova-compute is listed, by host."""
    found = [s for s in await world.cloud.services() if s.binary == COMPUTE]

    assert HOSTS == tuple(one.host for one in found)
    assert {(True, False, True, "")} == {
        (one.is_up, one.is_forced_down, one.is_enabled, one.disabled_reason) for one in found
    }


async def test_shut_out__again__is_one_state_with_its_reason(world: World) -> None:
    """Forced down, disabled and why come together, and may come twice."""
    before = await service(world, "h1")

    await world.cloud.shut_out(before.id, REASON)
    await world.cloud.shut_out(before.id, REASON)

    after = await service(world, "h1")
    assert (False, True, False, REASON) == (
        after.is_up,
        after.is_forced_down,
        after.is_enabled,
        after.disabled_reason,
    )
    await world.cloud.lift_force_down(before.id)
    await world.cloud.enable(before.id)
    await world.cloud.enable(before.id)
    after = await service(world, "h1")
    assert (False, True, "") == (after.is_forced_down, after.is_enabled, after.disabled_reason)


async def test_disable__again__is_one_state_and_nothing_is_forced_down(world: World) -> None:
    """A compute that works goes on with what it has, and is sent nothing new."""
    before = await service(world, "h1")

    await world.cloud.disable(before.id, REASON)
    await world.cloud.disable(before.id, REASON)

    after = await service(world, "h1")
    assert (True, False, False, REASON) == (
        after.is_up,
        after.is_forced_down,
        after.is_enabled,
        after.disabled_reason,
    )
    await world.cloud.enable(before.id)
    after = await service(world, "h1")
    assert (True, "") == (after.is_enabled, after.disabled_reason)


async def test_evacuate__of_a_dead_host__rebuilds_elsewhere_and_leaves_a_record(
    world: World,
) -> None:
    """The record is done when the server is the other host's; until then the source stays shut."""
    guest = await world.boot("h1")
    found = await shut_out(world, "h1")

    assert await world.cloud.progress(guest) == Progress()
    request_id = await world.cloud.evacuate(guest, start_by_s=soon())

    assert request_id
    await until(world, lambda: is_done(world, guest))
    [record] = [m for m in await world.cloud.migrations(host="h1") if m.guest == guest]
    assert (EVACUATION, "h1", "h2") == (record.kind, record.source, record.destination)
    moved = await world.cloud.server(guest)
    assert ("h2", "active", "") == (moved.host, moved.vm_state, moved.task_state)
    # Its nova-compute notes the end a moment after the record is done.
    ended = Progress(is_passed_on=True, taken_by="h2", is_over=True)
    await until(world, lambda: is_at(world, guest, ended))
    with pytest.raises(CloudRefusedError, match="force up"):
        await world.cloud.lift_force_down(found.id)
    await world.come_back("h1")
    await until(world, lambda: is_completed(world, guest))
    await world.cloud.lift_force_down(found.id)


async def is_done(world: World, guest: GuestId) -> bool:
    """Whether a server's evacuation is over and it runs."""
    return await status(world, guest) == "done" and not (await world.cloud.server(guest)).task_state


async def is_at(world: World, guest: GuestId, progress: Progress) -> bool:
    """Whether Nova is so far with a server's evacuation."""
    return await world.cloud.progress(guest) == progress


async def is_completed(world: World, guest: GuestId) -> bool:
    """Whether the source has cleaned up."""
    return await status(world, guest) == "completed"


@pytest.mark.fault("F31")
async def test_evacuate__host_in_service__is_refused(world: World) -> None:
    """Nova checks for itself that the service is down."""
    guest = await world.boot("h1")

    with pytest.raises(CloudRefusedError, match="still in use") as refused:
        await world.cloud.evacuate(guest, start_by_s=soon())

    assert Outcome.NOT_DONE is refused.value.outcome
    assert "" == await status(world, guest)


async def test_evacuate__target_or_server_cannot_be__is_refused(world: World) -> None:
    """An unknown target, the source itself, and a server that is not there."""
    guest = await world.boot("h1")
    await shut_out(world, "h1")

    with pytest.raises(CloudMissingError):
        await world.cloud.evacuate(guest, start_by_s=soon(), target="h9")
    with pytest.raises(CloudRefusedError, match="same"):
        await world.cloud.evacuate(guest, start_by_s=soon(), target="h1")
    with pytest.raises(CloudMissingError):
        await world.cloud.evacuate(NOBODY, start_by_s=soon())
    assert "" == await status(world, guest)


async def test_evacuate__forced_to_a_target__goes_there(world: World) -> None:
    """The one call in an older version of the API."""
    guest = await world.boot("h1")
    await shut_out(world, "h1")

    await world.cloud.evacuate(guest, start_by_s=soon(), target="h2", force=True)

    await until(world, lambda: is_done(world, guest))
    assert "h2" == (await world.cloud.server(guest)).host


@pytest.mark.fault("F30")
async def test_evacuate__answer_lost__is_unknown_and_done_once(world: World) -> None:
    """A request whose answer does not come is not sent again by any layer."""
    guest = await world.boot("h1")
    await shut_out(world, "h1")
    world.spoil(CloudFault.LOSES_ANSWER)

    with pytest.raises(CloudUnavailableError) as unknown:
        await world.cloud.evacuate(guest, start_by_s=soon())

    world.spoil(None)
    assert Outcome.UNKNOWN is unknown.value.outcome
    await until(world, lambda: is_done(world, guest))
    assert 1 == len([m for m in await world.cloud.migrations(host="h1") if m.guest == guest])


async def test_cloud__unwell__is_unknown_for_a_change_and_nothing_for_a_read(world: World) -> None:
    """503 says nothing of a change; a read has changed nothing."""
    guest = await world.boot("h1")
    world.spoil(CloudFault.UNWELL)

    with pytest.raises(CloudUnavailableError) as change:
        await world.cloud.stop(guest)
    with pytest.raises(CloudUnavailableError) as read:
        await world.cloud.services()

    assert (Outcome.UNKNOWN, Outcome.NOT_DONE) == (change.value.outcome, read.value.outcome)
    world.spoil(None)
    assert HOSTS == tuple(s.host for s in await world.cloud.services() if s.binary == COMPUTE)


async def test_power__stopped_and_started__is_asked_for_only_where_it_fits(world: World) -> None:
    """Stop and start are requests; the state tells when they have come about."""
    guest = await world.boot("h1")
    with pytest.raises(CloudConflictError):
        await world.cloud.start(guest)

    await world.cloud.stop(guest)
    await until(world, lambda: is_in(world, guest, "stopped"))
    with pytest.raises(CloudConflictError):
        await world.cloud.stop(guest)
    await world.cloud.start(guest)
    await until(world, lambda: is_in(world, guest, "active"))
    with pytest.raises(CloudMissingError):
        await world.cloud.start(NOBODY)


async def is_in(world: World, guest: GuestId, vm_state: str) -> bool:
    """Whether a server has come to rest in a state."""
    found = await world.cloud.server(guest)
    return (found.vm_state, found.task_state) == (vm_state, "")


async def test_migrations__since_a_moment__are_those_that_changed_then(world: World) -> None:
    """One call tells what happened since the last one."""
    first, second = await world.boot("h1"), await world.boot("h1")
    await shut_out(world, "h1")
    await world.cloud.evacuate(first, start_by_s=soon())
    await until(world, lambda: is_done(world, first))
    await world.cloud.evacuate(second, start_by_s=soon())
    await until(world, lambda: is_done(world, second))

    found = [m for m in await world.cloud.migrations(host="h1") if m.guest in {first, second}]
    later = await world.cloud.migrations(since=found[-1].updated_at)

    assert [first, second] == [m.guest for m in found]
    assert second in {m.guest for m in later}
    assert [] == [m for m in later if m.updated_at < found[-1].updated_at]
    assert second in {m.guest for m in await world.cloud.migrations(since=LONG_AGO)}


async def test_migrations__of_a_host__are_those_from_it_and_to_it(world: World) -> None:
    """A new one is told as well, though nothing has changed since it was made."""
    guest = await world.boot("h1")
    await shut_out(world, "h1")
    await world.cloud.evacuate(guest, start_by_s=soon(), target="h2")

    [new] = [m for m in await world.cloud.migrations(host="h1") if m.guest == guest]
    assert "" not in {m.updated_at for m in await world.cloud.migrations(since=LONG_AGO)}
    await until(world, lambda: is_done(world, guest))
    [old] = [m for m in await world.cloud.migrations(host="h2") if m.guest == guest]

    assert (new.number, "h1", "h2") == (old.number, old.source, old.destination)
    with pytest.raises(AssertionError, match="one of"):
        await world.cloud.migrations()
    with pytest.raises(AssertionError, match="one of"):
        await world.cloud.migrations(host="h1", since=LONG_AGO)


async def test_evacuate__too_late__is_not_done(world: World) -> None:
    """The lease of an order was over before it could be sent: nothing was sent."""
    guest = await world.boot("h1")
    await shut_out(world, "h1")

    with pytest.raises(CloudUnavailableError, match="its time was over") as late:
        await world.cloud.evacuate(guest, start_by_s=SystemClock().now_s() - 0.001)

    assert Outcome.NOT_DONE is late.value.outcome
    assert "" == await status(world, guest)
    assert "" == (await world.cloud.server(guest)).task_state


async def test_shut_out__without_a_reason__leaves_what_an_operator_disabled(world: World) -> None:
    """The operator's reason is still there when the host comes back."""
    before = await service(world, "h1")
    await world.cloud.shut_out(before.id, "operator: bad fan")
    await world.cloud.lift_force_down(before.id)

    await world.cloud.shut_out(before.id, "")

    after = await service(world, "h1")
    assert (True, False, "operator: bad fan") == (
        after.is_forced_down,
        after.is_enabled,
        after.disabled_reason,
    )
    await world.cloud.lift_force_down(before.id)
    await world.cloud.enable(before.id)
    await world.cloud.shut_out(before.id, "")
    assert (await service(world, "h1")).is_enabled


async def test_servers__of_a_host__say_what_their_rebuild_needs(world: World) -> None:
    """From what they boot, and what the flavor promises, come with every list."""
    guest = await world.boot("h1")

    [found] = [one for one in await world.cloud.servers(host="h1") if one.guest == guest]

    assert (1, 96, 0, {}) == (found.vcpus, found.ram_mib, found.disk_gib, found.extra_specs)
    assert found.image
    assert found.updated_at
    assert guest not in {one.guest for one in await world.cloud.servers(host="h2")}
    with pytest.raises(AssertionError, match="one of"):
        await world.cloud.servers()


async def test_servers__since_a_moment__are_those_that_changed_also_if_deleted(
    world: World,
) -> None:
    """One call tells which servers have gone since the last one."""
    stays, goes = await world.boot("h1"), await world.boot("h2")

    await world.delete(goes)
    await until(world, lambda: is_gone(world, goes))

    found = {one.guest: one.vm_state for one in await world.cloud.servers(since=LONG_AGO)}
    assert ("active", "deleted") == (found[stays], found[goes])
    newest = max(one.updated_at for one in await world.cloud.servers(since=LONG_AGO))
    assert stays not in {one.guest for one in await world.cloud.servers(since=after(newest))}
    assert {stays, goes} <= await world.cloud.touched(LONG_AGO)
    assert stays not in await world.cloud.touched(after(newest))


def after(stamp: str) -> str:
    """A second later than a stamp of Nova's."""
    later = datetime.fromisoformat(stamp) + timedelta(seconds=1)
    return later.isoformat(timespec="seconds").replace("+00:00", "Z")


async def is_gone(world: World, guest: GuestId) -> bool:
    """Whether a server is not there any more."""
    try:
        await world.cloud.server(guest)
    except CloudMissingError:
        return True
    return False


async def test_server__by_name_or_uuid__is_the_one_that_is_meant(world: World) -> None:
    """A name is taken to the letter; two servers of one name are named by their uuids."""
    first = await world.boot("h1", "web.1 (old)")
    await world.boot("h2", "web-1 (old)")
    twin, other = await world.boot("h1", "twin"), await world.boot("h2", "twin")

    assert first == (await world.cloud.server("web.1 (old)")).guest
    assert first == (await world.cloud.server(first.upper())).guest
    with pytest.raises(CloudConflictError, match="several servers are called twin") as several:
        await world.cloud.server("twin")
    assert twin in several.value.why
    assert other in several.value.why
    for nothing in ("web", "", NOBODY):
        with pytest.raises(CloudMissingError):
            await world.cloud.server(nothing)


async def test_groups__of_every_project__have_their_policy(world: World) -> None:
    """What is made is listed, by id."""
    apart = world.make_group("apart", "anti-affinity")
    together = world.make_group("together", "affinity")

    found = {group.id: group for group in await world.cloud.groups()}

    assert sorted(found) == list(found)
    assert ("apart", "anti-affinity") == (found[apart].name, found[apart].policy)
    assert ("together", "affinity") == (found[together].name, found[together].policy)
    assert frozenset() == found[apart].members


async def test_aggregates__of_a_host__have_what_is_said_of_them(world: World) -> None:
    """They are listed with their hosts by the names of their services."""
    words = {"hamon:priority": "7", "evacuable": "true"}
    world.make_aggregate("gold", "h1", **words)
    try:
        [found] = [one for one in await world.cloud.aggregates() if one.name == "gold"]
    finally:
        world.remove_aggregate("gold", "h1")

    assert frozenset({"h1"}) == found.hosts
    assert words.items() <= found.metadata.items()
    assert "gold" not in {one.name for one in await world.cloud.aggregates()}


async def test_image__of_a_server__has_its_properties_and_tags(world: World) -> None:
    """What is said of an image counts for what was booted from it; Nova does not tell it."""
    server = await world.cloud.server(await world.boot("h1"))
    world.say_of_image(server.image, "hamon:restart", "if_ran", "gold")

    image = await world.cloud.image(server.image)

    assert (server.image, "if_ran") == (image.id, image.properties["hamon:restart"])
    assert "gold" in image.tags
    with pytest.raises(CloudMissingError):
        await world.cloud.image(NOBODY)


@pytest.mark.fault("F31")
@pytest.mark.parametrize(("is_error", "state"), [(False, "active"), (True, "error")])
async def test_reset_task__of_a_server_being_stopped__forgets_that(
    world: World,
    is_error: bool,  # noqa: FBT001 - a case
    state: str,
) -> None:
    """Its host is dead: nothing of it goes on, and older Novas do not evacuate it before."""
    guest = await world.boot("h1")
    await world.lose("h1")
    await world.cloud.stop(guest)
    assert (await world.cloud.server(guest)).task_state == "powering-off"

    await world.cloud.reset_task(guest, is_error=is_error)

    assert await is_in(world, guest, state)
    with pytest.raises(CloudMissingError):
        await world.cloud.reset_task(NOBODY, is_error=is_error)


async def test_reset_task__left_behind__lets_a_reboot_through(world: World) -> None:
    """What nobody works at any more must not keep a server down for ever."""
    guest = await world.boot("h1")
    await shut_out(world, "h1")
    await world.cloud.stop(guest)
    with pytest.raises(CloudConflictError):
        await world.cloud.reboot(guest)

    await world.cloud.reset_task(guest, is_error=False)

    server = await world.cloud.server(guest)
    assert ("active", "") == (server.vm_state, server.task_state)
    await world.cloud.reboot(guest)


async def test_reboot__of_a_server_that_runs_or_not__ends_running(world: World) -> None:
    """A hard reboot is how a server starts where it is, whatever Nova believes of it."""
    guest = await world.boot("h1")

    await world.cloud.reboot(guest)
    await until(world, lambda: is_in(world, guest, "active"))
    await world.cloud.stop(guest)
    await until(world, lambda: is_in(world, guest, "stopped"))
    await world.cloud.reboot(guest)
    await until(world, lambda: is_in(world, guest, "active"))

    with pytest.raises(CloudMissingError):
        await world.cloud.reboot(NOBODY)
