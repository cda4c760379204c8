"""Registration: one of a heartbeat and a conviction comes about, and sessions are followed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from hamon.agent.registration import Registration
from hamon.coordination.codec import decode, encode
from hamon.coordination.paths import Place, PlaceKind, to_path
from hamon.model.host import Heartbeat, HostGuard, HostSelf, Leaving, Right
from hamon.model.names import BootId
from hamon.ports.store import Node, SetData
from hamon.sim.store import InMemoryStore
from tests.unit.agent_world import BOOT, HOST, IDENTITIES, OWN, World
from tests.virtual_clock import rest

HEARTBEAT = to_path(Place(kind=PlaceKind.HEARTBEAT, host=HOST))
SELF = to_path(Place(kind=PlaceKind.SELF, host=HOST))


class Heart:
    """The heartbeat process of a host, without its sockets."""

    def __init__(
        self,
        world: World,
        boot_id: BootId = BOOT,
        resume: int = 0,
        former_session: int = 0,
    ) -> None:
        self.store: InMemoryStore = world.server.connect(OWN, resume=resume)
        self.registration = Registration(
            store=self.store,
            clock=world.clock,
            log=world.log,
            host=HOST,
            facts=HostSelf(boot_id=boot_id, product_uuid="", addresses={"storage": "192.0.2.1"}),
            identities=IDENTITIES,
            former_session=resume or former_session,
        )
        self._task = asyncio.create_task(self.registration.run())

    async def stop(self) -> None:
        """End the process; its session is left alone."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def kill(self) -> None:
        """End the process without a word."""
        await self.stop()
        self.store.die()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A cluster in which the host is enrolled; no process of it runs."""
    world = World()
    await world.prepare()
    yield world
    await world.close()


async def heartbeat(world: World) -> Node | None:
    """The host's heartbeat, None: there is none."""
    if not await world.leader.exists(HEARTBEAT):
        return None
    return await world.leader.get(HEARTBEAT)


async def facts(world: World) -> HostSelf:
    """What the host says of itself."""
    node = await world.leader.get(SELF)
    value = decode(node.path, node.data)
    assert isinstance(value, HostSelf)
    return value


async def test_host__starts__registers_with_its_boot(world: World) -> None:
    """The heartbeat and what the host says of itself come in one transaction."""
    heart = Heart(world)
    await world.pass_s(0.1)

    node = await heartbeat(world)
    assert node is not None
    assert heart.store.session_id == node.owner
    assert encode(HEARTBEAT, Heartbeat(boot_id=BOOT)) == node.data
    assert (await facts(world)).boot_id == BOOT
    assert heart.registration.is_registered
    await heart.stop()


async def test_own_boot__shut_out__does_not_register(world: World) -> None:
    """A convicted boot does not come back to life."""
    await world.write_guard(HostGuard(right=Right.SHUT_OUT, boot_id=BOOT))
    heart = Heart(world)
    await world.pass_s(30)

    assert await heartbeat(world) is None
    await heart.stop()


async def test_other_boot__shut_out__registers(world: World) -> None:
    """That is how the leader sees a host return."""
    await world.write_guard(HostGuard(right=Right.SHUT_OUT, boot_id=BootId("boot-0")))
    heart = Heart(world)
    await world.pass_s(0.1)

    assert await heartbeat(world) is not None
    await heart.stop()


async def test_guard__changed_between_read_and_registration__wins(world: World) -> None:
    """Exactly one of conviction and registration commits."""
    heart = Heart(world)
    await heart.stop()
    guard = to_path(Place(kind=PlaceKind.GUARD, host=HOST))
    read = heart.store.get

    async def read_then_convict(path: str, _watch: object = None) -> Node:
        node = await read(path)
        if path == SELF:
            shut_out = encode(guard, HostGuard(right=Right.SHUT_OUT, boot_id=BOOT))
            write = SetData(path=guard, data=shut_out, version=(await read(guard)).version)
            await world.leader.commit([write])
        return node

    heart.store.get = read_then_convict  # type: ignore[method-assign, assignment]
    await heart.registration.step()
    heart.store.get = read  # type: ignore[method-assign]
    await heart.registration.step()

    assert await heartbeat(world) is None
    assert "registration_shut_out" in world.log.names()


@pytest.mark.fault("F21")
async def test_session__expired__registers_anew(world: World) -> None:
    """Every new session registers; the boot is the same."""
    heart = Heart(world)
    await world.pass_s(0.1)
    first = heart.store.session_id
    world.server.expire_all()
    await world.pass_s(1)

    node = await heartbeat(world)
    assert node is not None
    assert first != node.owner
    assert heart.store.session_id == node.owner
    await heart.stop()


async def test_process__restarted_with_its_session__keeps_the_heartbeat(world: World) -> None:
    """An upgrade of the agent is nothing that anybody could notice."""
    heart = Heart(world)
    await world.pass_s(0.1)
    before = await heartbeat(world)
    session = heart.store.session_id
    await heart.stop()
    await heart.store.detach()

    again = Heart(world, resume=session)
    await world.pass_s(1)

    after = await heartbeat(world)
    assert before is not None
    assert after is not None
    assert (before.owner, before.created_zxid) == (after.owner, after.created_zxid)
    assert again.registration.is_registered
    await again.stop()


@pytest.mark.fault("F21")
async def test_heartbeat__of_own_former_session__is_replaced_at_once(world: World) -> None:
    """A process that could not resume its session does not wait for it to expire."""
    heart = Heart(world)
    await world.pass_s(0.1)
    former = heart.store.session_id
    await heart.kill()

    again = Heart(world, former_session=former)
    await world.pass_s(0.1)

    node = await heartbeat(world)
    assert node is not None
    assert again.store.session_id == node.owner
    await again.stop()


@pytest.mark.fault("F21")
async def test_heartbeat__of_a_stranger__is_waited_for(world: World) -> None:
    """Nobody's heartbeat is deleted on a guess: two processes may run under one name."""
    heart = Heart(world)
    await world.pass_s(0.1)
    stranger = heart.store.session_id
    await heart.kill()

    again = Heart(world, boot_id=BootId("boot-2"))
    await world.pass_s(3)
    node = await heartbeat(world)
    assert node is not None
    assert stranger == node.owner
    await world.pass_s(5)

    node = await heartbeat(world)
    assert node is not None
    assert again.store.session_id == node.owner
    await again.stop()


async def test_leaving__announced_and_taken_back__is_written(world: World) -> None:
    """The leader learns that the host goes on purpose."""
    heart = Heart(world)
    await world.pass_s(0.1)
    heart.registration.announce(Leaving.REBOOT)
    await rest()
    assert Leaving.REBOOT is (await facts(world)).leaving

    heart.registration.announce(None)
    await rest()

    assert (await facts(world)).leaving is None
    await heart.stop()


async def test_guard__unreadable__does_not_register(world: World) -> None:
    """Nobody can say whether this boot may live."""
    guard = to_path(Place(kind=PlaceKind.GUARD, host=HOST))
    node = await world.leader.get(guard)
    await world.leader.commit([SetData(path=guard, data=b"{", version=node.version)])
    heart = Heart(world)
    await world.pass_s(10)

    assert await heartbeat(world) is None
    await heart.stop()
