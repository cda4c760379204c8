"""Guests ended at once, by their processes when libvirt does not answer. Disks are not touched."""

from __future__ import annotations

from hamon.agent.context import AgentContext
from hamon.agent.domain_listing import DomainListing
from hamon.errors import HypervisorError
from hamon.model.names import GuestId


async def end_guests(
    context: AgentContext, listing: DomainListing, guests: frozenset[GuestId]
) -> None:
    """End every copy of ``guests`` that runs on this host. Idempotent; never raises."""
    # QEMU first, by its process: that needs nobody's answer. libvirt learns of it by itself.
    killed = context.kill_guests(guests)
    if killed:
        context.log.error("guests_killed", guests=sorted(killed))
    current = listing.current
    for guest in sorted(guests - killed):
        if not current.is_active(guest):
            continue
        try:
            await context.hypervisor.destroy(guest)
        except HypervisorError as error:
            why = error.why
        else:
            why = ""
        context.log.error("guest_ended", guest=guest, why=why)
