"""The contract of ``ports.Cloud``, kept by the Nova in memory and by a real one."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from hamon.errors import (
    CloudConflictError,
    CloudMissingError,
    CloudRefusedError,
    CloudUnavailableError,
    Outcome,
)
from hamon.model.cloud import ComputeService, Server
from hamon.model.names import GuestId, guest_id
from hamon.sim.cloud import EVACUATION, CloudFault
from lab import records
from lab.lab import Backend, Lab
from tests.contract.cloud_worlds import HOSTS, MemoryWorld, RealWorld, World, until

pytestmark = pytest.mark.contract

NOBODY = guest_id("99999999-0000-4000-8000-000000000000")
REASON = "hamon: incident h1-1"

REAL = pytest.param(
    "real",
    marks=[
        pytest.mark.integration,
        pytest.mark.slow,
        pytest.mark.skipif(
            shutil.which("mariadbd") is None, reason="needs lab/openstack/debian-packages.txt"
        ),
    ],
)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab with a real OpenStack, for all tests of this file."""
    name = f"t{uuid.uuid4().hex[:10]}"
    try:
        yield Lab.create(name, controllers=1, hosts=2, daemons=0, backend=Backend.NOVA)
    finally:
        records.remove(name)


@pytest.fixture(params=["memory", REAL])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Each kind of Nova, with two computes and no server."""
    if request.param == "memory":
        yield MemoryWorld()
        return
    lab: Lab = request.getfixturevalue("lab")
    lab.repair(remove_guests=True)
    real = RealWorld(lab)
    with real.place():
        yield real
    real.close()


async def service(world: World, host: str) -> ComputeService:
    """A host's nova-compute."""
    return next(s for s in await world.cloud.services() if s.host == host)


async def server(world: World, guest: GuestId) -> Server:
    """A server, wherever it is."""
    found = [s for host in HOSTS for s in await world.cloud.servers(host)]
    return next(s for s in found if s.guest == guest)


async def shut_out(world: World, host: str) -> ComputeService:
    """A host without power whose nova-compute is shut out."""
    await world.lose(host)
    found = await service(world, host)
    await world.cloud.shut_out(found.id, REASON)
    return found


async def status(world: World, guest: GuestId) -> str:
    """The status of a server's newest evacuation."""
    found = [m for m in await world.cloud.migrations("") if m.guest == guest]
    return found[-1].status if found else ""


async def test_services__of_a_cloud_that_is_well__are_up_and_enabled(world: World) -> None:
    """Every nova-compute is listed, by host."""
    found = await world.cloud.services()

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


async def test_evacuate__of_a_dead_host__rebuilds_elsewhere_and_leaves_a_record(
    world: World,
) -> None:
    """The record is done when the server is the other host's; until then the source stays shut."""
    guest = await world.boot("h1")
    found = await shut_out(world, "h1")

    request_id = await world.cloud.evacuate(guest)

    assert request_id
    await until(world, lambda: is_done(world, guest))
    [record] = [m for m in await world.cloud.migrations("") if m.guest == guest]
    assert (EVACUATION, "h1", "h2") == (record.kind, record.source, record.destination)
    moved = await server(world, guest)
    assert ("h2", "active", "") == (moved.host, moved.vm_state, moved.task_state)
    with pytest.raises(CloudRefusedError, match="force up"):
        await world.cloud.lift_force_down(found.id)
    await world.come_back("h1")
    await until(world, lambda: is_completed(world, guest))
    await world.cloud.lift_force_down(found.id)


async def is_done(world: World, guest: GuestId) -> bool:
    """Whether a server's evacuation is over and it runs."""
    return await status(world, guest) == "done" and not (await server(world, guest)).task_state


async def is_completed(world: World, guest: GuestId) -> bool:
    """Whether the source has cleaned up."""
    return await status(world, guest) == "completed"


async def test_evacuate__host_in_service__is_refused(world: World) -> None:
    """Nova checks for itself that the service is down."""
    guest = await world.boot("h1")

    with pytest.raises(CloudRefusedError, match="still in use") as refused:
        await world.cloud.evacuate(guest)

    assert Outcome.NOT_DONE is refused.value.outcome
    assert "" == await status(world, guest)


async def test_evacuate__target_or_server_cannot_be__is_refused(world: World) -> None:
    """An unknown target, the source itself, and a server that is not there."""
    guest = await world.boot("h1")
    await shut_out(world, "h1")

    with pytest.raises(CloudMissingError):
        await world.cloud.evacuate(guest, target="h9")
    with pytest.raises(CloudRefusedError, match="same"):
        await world.cloud.evacuate(guest, target="h1")
    with pytest.raises(CloudMissingError):
        await world.cloud.evacuate(NOBODY)
    assert "" == await status(world, guest)


async def test_evacuate__forced_to_a_target__goes_there(world: World) -> None:
    """The one call in an older version of the API."""
    guest = await world.boot("h1")
    await shut_out(world, "h1")

    await world.cloud.evacuate(guest, target="h2", force=True)

    await until(world, lambda: is_done(world, guest))
    assert "h2" == (await server(world, guest)).host


async def test_evacuate__answer_lost__is_unknown_and_done_once(world: World) -> None:
    """A request whose answer does not come is not sent again by any layer."""
    guest = await world.boot("h1")
    await shut_out(world, "h1")
    world.spoil(CloudFault.LOSES_ANSWER)

    with pytest.raises(CloudUnavailableError) as unknown:
        await world.cloud.evacuate(guest)

    world.spoil(None)
    assert Outcome.UNKNOWN is unknown.value.outcome
    await until(world, lambda: is_done(world, guest))
    assert 1 == len([m for m in await world.cloud.migrations("") if m.guest == guest])


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
    assert HOSTS == tuple(one.host for one in await world.cloud.services())


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
    found = await server(world, guest)
    return (found.vm_state, found.task_state) == (vm_state, "")


async def test_migrations__since_a_moment__are_those_that_changed_then(world: World) -> None:
    """One call tells what happened since the last one."""
    first, second = await world.boot("h1"), await world.boot("h1")
    await shut_out(world, "h1")
    await world.cloud.evacuate(first)
    await until(world, lambda: is_done(world, first))
    await world.cloud.evacuate(second)
    await until(world, lambda: is_done(world, second))

    found = [m for m in await world.cloud.migrations("") if m.guest in {first, second}]
    later = await world.cloud.migrations(found[-1].updated_at)

    assert [first, second] == [m.guest for m in found]
    assert second in {m.guest for m in later}
    assert [] == [m for m in later if m.updated_at < found[-1].updated_at]
