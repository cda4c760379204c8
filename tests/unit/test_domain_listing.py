"""The agent's listing of domains: what it may conclude from events and readings."""

from __future__ import annotations

from hamon.agent.domain_listing import DomainListing
from hamon.backends.libvirt.definition import AGENT_CHANNEL
from hamon.model.host import DomainState, GuestAgent
from hamon.model.names import GuestId
from hamon.sim.host_files import InMemoryPermits
from hamon.sim.hypervisor import InMemoryHypervisor
from tests.unit.agent_world import GUEST, Events, definition
from tests.virtual_clock import VirtualClock


async def test_undefined__told_before_the_listing_is_read_again__is_taken_after_it() -> None:
    """An UNDEFINE is not lost because the last listing still shows the domain."""
    clock = VirtualClock()
    hypervisor = InMemoryHypervisor(clock, InMemoryPermits())
    listing = DomainListing(hypervisor, clock, Events(), lambda: None)
    await hypervisor.define(definition())
    await listing.refresh()
    await hypervisor.undefine(GUEST)
    while_listed = listing.take_undefined()
    await listing.refresh()

    assert (frozenset[GuestId](), frozenset({GUEST})) == (while_listed, listing.take_undefined())


async def test_note__a_start__what_was_known_of_its_agent_is_forgotten() -> None:
    """It was of an earlier run; the next reading tells of this one."""
    clock = VirtualClock()
    hypervisor = InMemoryHypervisor(clock, InMemoryPermits())
    listing = DomainListing(hypervisor, clock, Events(), lambda: None)
    channel = f'<channel type="unix"><target type="virtio" name="{AGENT_CHANNEL}"/></channel>'
    with_channel = definition().replace("</devices>", f"{channel}</devices>")
    hypervisor.define_now(with_channel)
    hypervisor.start_now(GUEST)
    hypervisor.connect_agent_now(GUEST)
    before = (await listing.refresh()).domains[GUEST].agent

    listing.note(GUEST, "web", with_channel, DomainState.RUNNING)

    assert (GuestAgent.CONNECTED, None) == (before, listing.current.domains[GUEST].agent)
