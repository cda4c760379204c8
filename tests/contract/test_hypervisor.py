"""The hypervisor's contract, held against the fake and a real libvirtd with QEMU."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from hamon.backends.libvirt.definition import AGENT_CHANNEL
from hamon.backends.libvirt.hypervisor import LANES
from hamon.backends.libvirt.processes import kill_guests
from hamon.errors import (
    GuestNotFoundError,
    HypervisorError,
    HypervisorUnreachableError,
    Outcome,
)
from hamon.model.host import DomainState, GuestAgent
from hamon.model.names import BootId, GuestId
from hamon.ports.hypervisor import DomainEvent, Hypervisor
from tests.contract.hypervisor_worlds import HypervisorWorld, MemoryWorld, RealWorld
from tests.contract.private_libvirtd import PrivateLibvirtd, private_libvirtd

pytestmark = pytest.mark.contract

BOOT = BootId("boot-1")


@pytest.fixture(scope="module")
def libvirtd() -> Iterator[PrivateLibvirtd]:
    """One libvirtd for this module."""
    with private_libvirtd() as host:
        yield host


@pytest.fixture(params=["memory", pytest.param("real", marks=pytest.mark.integration)])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[HypervisorWorld]:
    """Either libvirt, reachable."""
    if request.param == "memory":
        yield MemoryWorld()
        return
    world = RealWorld(request.getfixturevalue("libvirtd"))
    await until_reachable(world.hypervisor)
    yield world
    world.resume()
    await until_reachable(world.hypervisor)
    for domain in await world.hypervisor.domains():
        await world.hypervisor.destroy(domain.guest)
        await world.hypervisor.undefine(domain.guest)
    world.permits.protect(frozenset())
    await world.hypervisor.close()


@pytest.fixture
def guest() -> GuestId:
    """A guest of this test's own."""
    return GuestId(str(uuid4()))


async def until(condition: Callable[[], object]) -> None:
    """Wait for something to become true, and fail when it does not."""
    deadline_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        await asyncio.sleep(0.01)


async def until_reachable(hypervisor: Hypervisor) -> None:
    """Wait until libvirt answers."""
    deadline_s = time.monotonic() + 20
    while True:
        try:
            await hypervisor.domains()
        except HypervisorUnreachableError:
            assert time.monotonic() < deadline_s, "libvirt does not answer"
            await asyncio.sleep(0.05)
        else:
            return


async def state(hypervisor: Hypervisor, guest: GuestId) -> DomainState | None:
    """The state of a domain, None: it is not there."""
    found = {domain.guest: domain.state for domain in await hypervisor.domains()}
    return found.get(guest)


async def agent_in(hypervisor: Hypervisor, guest: GuestId) -> GuestAgent | None:
    """What is known of the agent in a guest that is there."""
    found = {domain.guest: domain.agent for domain in await hypervisor.domains()}
    return found[guest]


async def until_agent(hypervisor: Hypervisor, guest: GuestId, wanted: GuestAgent) -> None:
    """Wait until the agent in a guest is so; a system may have to come up without KVM."""
    deadline_s = time.monotonic() + 120
    while (found := await agent_in(hypervisor, guest)) is not wanted:
        assert time.monotonic() < deadline_s, f"the agent is {found}"
        await asyncio.sleep(0.05)


async def test_domain__from_define_to_undefine__is_listed_as_it_is(
    world: HypervisorWorld, guest: GuestId
) -> None:
    """The whole life of a guest, with the events that tell of it."""
    events: list[DomainEvent] = []
    world.hypervisor.on_event(lambda who, event: events.append(event) if who == guest else None)
    await world.hypervisor.define(world.definition(guest))
    assert await state(world.hypervisor, guest) is DomainState.SHUTOFF

    await world.hypervisor.start(guest)
    await world.hypervisor.start(guest)
    assert await state(world.hypervisor, guest) is DomainState.RUNNING

    await world.hypervisor.destroy(guest)
    await world.hypervisor.destroy(guest)
    assert await state(world.hypervisor, guest) is DomainState.SHUTOFF

    await world.hypervisor.undefine(guest)
    await world.hypervisor.undefine(guest)
    assert await state(world.hypervisor, guest) is None
    await until(lambda: DomainEvent.UNDEFINED in events)
    told = [event for event in events if event is not DomainEvent.OTHER]
    expected = [
        DomainEvent.DEFINED,
        DomainEvent.STARTED,
        DomainEvent.STOPPED,
        DomainEvent.UNDEFINED,
    ]
    assert expected == told


async def test_start__not_defined__is_told_apart(world: HypervisorWorld, guest: GuestId) -> None:
    """A guest that is not here is another matter than a start that failed."""
    with pytest.raises(GuestNotFoundError):
        await world.hypervisor.start(guest)
    await world.hypervisor.destroy(guest)


async def test_define__rubbish__is_refused(world: HypervisorWorld) -> None:
    """The refusal says that nothing was done."""
    with pytest.raises(HypervisorError) as refused:
        await world.hypervisor.define("<domain><name>web</name></domain>")

    assert Outcome.NOT_DONE is refused.value.outcome


async def test_capacity__is_of_this_boot(world: HypervisorWorld) -> None:
    """Whoever reads it knows which life of the host it describes."""
    capacity = await world.hypervisor.capacity(BOOT)

    assert (BOOT, "x86_64") == (capacity.boot_id, capacity.architecture)
    assert capacity.ram_mib > 0
    assert capacity.vcpus > 0


async def test_start__protected_without_permit__is_refused(
    world: HypervisorWorld, guest: GuestId
) -> None:
    """The gate is asked by libvirt, whoever asked libvirt."""
    await world.hypervisor.define(world.definition(guest))
    world.permits.protect(frozenset({guest}))

    with pytest.raises(HypervisorError, match="permit") as refused:
        await world.hypervisor.start(guest)

    assert Outcome.NOT_DONE is refused.value.outcome
    world.permits.give(guest, 1)
    await world.hypervisor.start(guest)
    assert await state(world.hypervisor, guest) is DomainState.RUNNING
    assert not world.permits.withdraw(guest)


@pytest.mark.parametrize(
    ("channel", "agent"),
    [
        (None, GuestAgent.NO_CHANNEL),
        ("org.hamon.other.0", GuestAgent.NO_CHANNEL),
        (AGENT_CHANNEL, GuestAgent.DISCONNECTED),
    ],
)
async def test_agent__none_in_the_guest__is_told_while_it_runs(
    world: HypervisorWorld, guest: GuestId, channel: str | None, agent: GuestAgent
) -> None:
    """One that can never connect is told apart from one that has not; off, there is neither."""
    await world.hypervisor.define(world.definition(guest, channel))
    assert await agent_in(world.hypervisor, guest) is None

    await world.hypervisor.start(guest)
    assert agent is await agent_in(world.hypervisor, guest)

    await world.hypervisor.destroy(guest)
    assert await agent_in(world.hypervisor, guest) is None


async def test_agent__comes_and_goes__is_listed_as_it_is_and_told(
    world: HypervisorWorld, guest: GuestId
) -> None:
    """In the next run of the guest it is not what it was in the former."""
    events: list[DomainEvent] = []
    world.hypervisor.on_event(lambda who, event: events.append(event) if who == guest else None)
    await world.hypervisor.define(world.definition_with_agent(guest))
    await world.hypervisor.start(guest)
    world.boot(guest)
    await until_agent(world.hypervisor, guest, GuestAgent.CONNECTED)
    events.clear()

    world.end_agent(guest)

    await until_agent(world.hypervisor, guest, GuestAgent.DISCONNECTED)
    assert {DomainEvent.AGENT} == set(events)
    await world.hypervisor.destroy(guest)
    await world.hypervisor.start(guest)
    world.boot(guest)
    await until_agent(world.hypervisor, guest, GuestAgent.CONNECTED)
    await world.hypervisor.destroy(guest)
    await world.hypervisor.start(guest)
    assert await agent_in(world.hypervisor, guest) is GuestAgent.DISCONNECTED


async def test_qemu__killed__is_a_crash_and_no_stop(world: HypervisorWorld, guest: GuestId) -> None:
    """Nobody wished the guest to be off."""
    events: list[DomainEvent] = []
    world.hypervisor.on_event(lambda who, event: events.append(event) if who == guest else None)
    await world.hypervisor.define(world.definition(guest))
    await world.hypervisor.start(guest)

    world.kill(guest)

    await until(lambda: DomainEvent.CRASHED in events)
    assert DomainEvent.STOPPED not in events
    assert await state(world.hypervisor, guest) in {DomainState.CRASHED, DomainState.SHUTOFF}


async def test_libvirtd__paused__calls_end_unknown_and_come_back(
    world: HypervisorWorld, guest: GuestId
) -> None:
    """A hung libvirtd costs a deadline, not the loop; and it is told when it is back."""
    told: list[bool] = []
    world.hypervisor.on_connection(told.append)
    await world.hypervisor.define(world.definition(guest))
    world.pause()

    with pytest.raises(HypervisorUnreachableError) as unknown:
        await world.hypervisor.destroy(guest)
    assert Outcome.UNKNOWN is unknown.value.outcome
    await until(lambda: told[-1:] == [False])

    world.resume()
    await until(lambda: told[-1:] == [True])
    assert await state(world.hypervisor, guest) is DomainState.SHUTOFF


async def test_start__sleeps_in_a_paused_libvirtd__is_refused_after_a_withdrawal(
    world: HypervisorWorld, guest: GuestId
) -> None:
    """The late start of a guest that was given away must not run (safety.md 5.1)."""
    await world.hypervisor.define(world.definition(guest))
    world.permits.protect(frozenset({guest}))
    world.permits.give(guest, 1)
    world.pause()
    with pytest.raises(HypervisorUnreachableError):
        await world.hypervisor.start(guest)

    assert world.permits.withdraw(guest)
    world.resume()
    await until_reachable(world.hypervisor)

    with pytest.raises(HypervisorError, match="permit"):
        await world.hypervisor.start(guest)
    assert await state(world.hypervisor, guest) is DomainState.SHUTOFF


# -- real only --------------------------------------------------------------------------------


@pytest.mark.integration
async def test_libvirtd__killed_and_started_again__guest_lives_and_adapter_reconnects(
    libvirtd: PrivateLibvirtd, guest: GuestId
) -> None:
    """`reconnect` passes the gate without a permit: a restart of libvirtd kills nobody."""
    world = RealWorld(libvirtd)
    await until_reachable(world.hypervisor)
    told: list[bool] = []
    world.hypervisor.on_connection(told.append)
    await world.hypervisor.define(world.definition(guest))
    await world.hypervisor.start(guest)
    world.permits.protect(frozenset({guest}))

    libvirtd.send(signal.SIGKILL)

    await until(lambda: told[-2:] == [False, True])
    assert await state(world.hypervisor, guest) is DomainState.RUNNING
    world.permits.protect(frozenset())
    await world.hypervisor.destroy(guest)
    await world.hypervisor.undefine(guest)
    await world.hypervisor.close()


@pytest.mark.integration
async def test_libvirtd__paused_for_many_calls__stuck_ones_are_bounded(
    libvirtd: PrivateLibvirtd,
) -> None:
    """However many calls are made, the threads that hang in libvirt stay few."""
    world = RealWorld(libvirtd)
    await until_reachable(world.hypervisor)
    world.pause()
    calls = [world.hypervisor.domains() for _ in range(20)]

    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert all(isinstance(answer, HypervisorUnreachableError) for answer in answers)
    assert world.hypervisor.stuck_calls <= LANES
    world.resume()
    await until_reachable(world.hypervisor)
    await until(lambda: world.hypervisor.stuck_calls == 0)
    await world.hypervisor.close()


@pytest.mark.integration
async def test_call__waits_for_a_connection_past_its_deadline__is_never_begun(
    libvirtd: PrivateLibvirtd, guest: GuestId
) -> None:
    """A call that everybody has given up is not carried out when libvirtd goes on."""
    world = RealWorld(libvirtd)
    await until_reachable(world.hypervisor)
    world.pause()
    # The first takes the one connection that there is; the second has to open another.
    calls = [world.hypervisor.domains(), world.hypervisor.define(world.definition(guest))]

    answers = await asyncio.gather(*calls, return_exceptions=True)

    world.resume()
    await until(lambda: world.hypervisor.stuck_calls == 0)
    await until_reachable(world.hypervisor)
    assert all(isinstance(answer, HypervisorUnreachableError) for answer in answers)
    assert guest not in {domain.guest for domain in await world.hypervisor.domains()}
    await world.hypervisor.close()


@pytest.mark.integration
async def test_libvirtd__stops_with_many_calls_under_way__the_client_survives(
    libvirtd: PrivateLibvirtd,
) -> None:
    """Libvirt's client must not be used in ways that make it write over a stack (see lanes)."""
    busy = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.contract.busy_client"),
        *(libvirtd.uri, str(libvirtd.pid()), "3"),
        cwd=Path(__file__).parents[2],
    )

    assert 0 == await busy.wait()


@pytest.mark.integration
async def test_kill__by_pid_files__ends_only_the_guests_named(
    libvirtd: PrivateLibvirtd, tmp_path: Path
) -> None:
    """The last resort needs no libvirt, and touches nobody else's process."""
    world = RealWorld(libvirtd)
    await until_reachable(world.hypervisor)
    guests = [GuestId(str(uuid4())), GuestId(str(uuid4()))]
    (tmp_path / "qemu").mkdir()
    for guest in guests:
        await world.hypervisor.define(world.definition(guest))
        await world.hypervisor.start(guest)
        (tmp_path / "qemu" / f"{guest}.pid").write_text(str(libvirtd.pid_of(guest)))
    (tmp_path / "qemu" / "stale.pid").write_text("1")

    killed = kill_guests(tmp_path, frozenset({guests[0]}))

    assert frozenset({guests[0]}) == killed
    assert await state(world.hypervisor, guests[1]) is DomainState.RUNNING
    for guest in guests:
        await world.hypervisor.destroy(guest)
        await world.hypervisor.undefine(guest)
    await world.hypervisor.close()
