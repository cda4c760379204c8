"""What is known of the agents inside guests: read sparingly, and published with who tells it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from random import Random
from uuid import UUID

import pytest

from hamon.agent.domain_listing import AGENT_PAUSE_S
from hamon.backends.libvirt.definition import AGENT_CHANNEL, read_agent
from hamon.backends.libvirt.guest_agents import KnownAgents, SeenAgent
from hamon.coordination.codec import decode, encode
from hamon.errors import NodeMissingError
from hamon.model.host import GuestAgent, HostGuestAgents
from hamon.model.names import GuestId
from tests.unit.agent_world import BOOT, GUEST, HOST, OTHER, World, definition

PATH = f"/hosts/{HOST}/alive/agents"
DOMAINS = f"/hosts/{HOST}/domains"
CHANNEL = f'<channel type="unix"><target type="virtio" name="{AGENT_CHANNEL}"/></channel>'
CONNECTED = SeenAgent(run=1, agent=GuestAgent.CONNECTED)
DISCONNECTED = SeenAgent(run=1, agent=GuestAgent.DISCONNECTED)


def with_channel() -> str:
    """A guest with the channel for an agent."""
    return definition().replace("</devices>", f"{CHANNEL}</devices>")


# -- reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channel", "agent"),
    [
        ("", GuestAgent.NO_CHANNEL),
        (CHANNEL, GuestAgent.DISCONNECTED),
        (CHANNEL.replace("/><", ' state="disconnected"/><'), GuestAgent.DISCONNECTED),
        (CHANNEL.replace("/><", ' state="connected"/><'), GuestAgent.CONNECTED),
        (
            CHANNEL.replace(AGENT_CHANNEL, "com.redhat.spice.0").replace(
                "/><", ' state="connected"/><'
            ),
            GuestAgent.NO_CHANNEL,
        ),
    ],
)
def test_read_agent__live_definition__says_what_its_channel_says(
    channel: str, agent: GuestAgent
) -> None:
    """Another channel that somebody opened is not the agent's."""
    assert agent is read_agent(definition().replace("</devices>", f"{channel}</devices>"))


def test_known__read_once__is_read_again_only_when_told_of() -> None:
    """Live XML is read once for each run of a guest."""
    agents = KnownAgents()
    agents.keep({GUEST: DISCONNECTED, OTHER: CONNECTED}, agents.turn)
    assert {GUEST: DISCONNECTED, OTHER: CONNECTED} == agents.known()

    agents.told_of(GUEST)

    assert {OTHER: CONNECTED} == agents.known()
    agents.forget()
    assert {} == agents.known()


def test_known__told_while_it_is_read__the_reading_is_not_kept() -> None:
    """It may be from before: kept, it would be believed until the guest is started anew."""
    agents = KnownAgents()
    agents.keep({OTHER: CONNECTED}, agents.turn)
    began = agents.turn
    agents.told_of(GUEST)

    agents.keep({GUEST: DISCONNECTED, OTHER: CONNECTED}, began)

    assert {OTHER: CONNECTED} == agents.known()


def test_known__guest_gone__is_forgotten() -> None:
    """Nothing grows with the guests that were ever here."""
    agents = KnownAgents()
    agents.keep({GUEST: CONNECTED}, agents.turn)

    agents.keep({}, agents.turn)

    assert {} == agents.known()


# -- publishing -----------------------------------------------------------------------------------


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A host with a guests process and a guest that is off."""
    world = World()
    await world.prepare()
    world.hypervisor.define_now(with_channel())
    await world.start_agent()
    await world.pass_s(6.0)
    yield world
    await world.close()


async def published(world: World) -> HostGuestAgents | None:
    """What the host says of agents; None: nothing."""
    try:
        node = await world.leader.get(PATH)
    except NodeMissingError:
        return None
    assert node.owner == world.store.session_id
    value = decode(PATH, node.data)
    assert isinstance(value, HostGuestAgents)
    return value


def of(agent: GuestAgent) -> HostGuestAgents:
    """What is to be published of the one guest."""
    return HostGuestAgents(boot_id=BOOT, agents={GUEST: agent})


async def test_publish__agent_comes_and_goes__is_told(world: World) -> None:
    """As libvirt tells it, without waiting for the next reading, but with a pause in between."""
    assert await published(world) is None

    world.hypervisor.start_now(GUEST)
    await world.pass_s(0.5)
    assert of(GuestAgent.DISCONNECTED) == await published(world)
    world.hypervisor.connect_agent_now(GUEST)
    await world.pass_s(AGENT_PAUSE_S)
    assert of(GuestAgent.CONNECTED) == await published(world)
    world.hypervisor.disconnect_agent_now(GUEST)
    await world.pass_s(AGENT_PAUSE_S)
    assert of(GuestAgent.DISCONNECTED) == await published(world)
    world.hypervisor.stop_now(GUEST)
    await world.pass_s(0.5)
    assert HostGuestAgents(boot_id=BOOT) == await published(world)


async def test_publish__guest_starts_again__its_agent_is_told_before_that_it_runs(
    world: World,
) -> None:
    """Who reads that it runs must not read beside it what its agent was in an earlier run."""
    world.hypervisor.start_now(GUEST)
    world.hypervisor.connect_agent_now(GUEST)
    await world.pass_s(6.0)
    world.hypervisor.stop_now(GUEST)
    await world.pass_s(6.0)
    told: list[str] = []
    await world.leader.get(DOMAINS, told.append)
    await world.leader.get(PATH, told.append)

    world.hypervisor.start_now(GUEST)
    await world.pass_s(6.0)

    assert [PATH, DOMAINS] == told


async def test_publish__agent_comes_and_goes_all_the_time__few_writes(world: World) -> None:
    """Whoever owns a guest decides how often; each write wakes the leader."""
    world.hypervisor.start_now(GUEST)
    await world.pass_s(6.0)
    before = (await world.leader.get(PATH)).version

    for _ in range(200):
        world.hypervisor.connect_agent_now(GUEST)
        await world.pass_s(0.15)
        world.hypervisor.disconnect_agent_now(GUEST)
        await world.pass_s(0.15)

    written = (await world.leader.get(PATH)).version - before
    assert 0 < written <= 60.0 / AGENT_PAUSE_S + 1


async def test_publish__nothing_changes__nothing_is_written(world: World) -> None:
    """A listing is read every few seconds."""
    world.hypervisor.start_now(GUEST)
    world.hypervisor.connect_agent_now(GUEST)
    await world.pass_s(6.0)
    before = (await world.leader.get(PATH)).version

    await world.pass_s(60.0)

    assert before == (await world.leader.get(PATH)).version


async def test_publish__process_starts_anew__tells_by_its_own_session(world: World) -> None:
    """What the former one told goes with it."""
    world.hypervisor.start_now(GUEST)
    world.hypervisor.connect_agent_now(GUEST)
    await world.pass_s(6.0)
    await world.stop_agent()
    await world.start_agent()
    await world.pass_s(6.0)

    assert of(GuestAgent.CONNECTED) == await published(world)


async def test_publish__process_is_gone__says_nothing(world: World) -> None:
    """What a dead process told is of the past."""
    world.hypervisor.start_now(GUEST)
    await world.pass_s(6.0)
    await world.stop_agent()

    await world.pass_s(10.0)

    with pytest.raises(NodeMissingError):
        await world.leader.get(PATH)


def test_publish__two_thousand_guests__fit_well() -> None:
    """One znode, whatever runs on a host."""
    luck = Random(1)
    guests = [GuestId(str(UUID(int=luck.getrandbits(128)))) for _ in range(2000)]
    agents = dict.fromkeys(guests, GuestAgent.CONNECTED)

    data = encode(PATH, HostGuestAgents(boot_id=BOOT, agents=agents))

    assert len(data) < 64 * 1024
