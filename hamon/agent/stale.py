"""What must not run here any more: stale copies of moved guests, and everything once shut out."""

from __future__ import annotations

from dataclasses import dataclass

from hamon.agent.context import AgentContext
from hamon.agent.domain_listing import DomainListing
from hamon.agent.ending import end_guests
from hamon.agent.inventory import Publisher
from hamon.agent.rebuild import Rebuilder
from hamon.agent.znodes import HostZnodes
from hamon.errors import HypervisorError
from hamon.model.change import Versioned
from hamon.model.guest import Grant, GrantState
from hamon.model.names import GuestId

RETRY_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Remover:
    """Removes what the leader says is stale, and kills on its word. Disks are never touched."""

    context: AgentContext
    listing: DomainListing
    publisher: Publisher
    znodes: HostZnodes
    rebuilder: Rebuilder

    async def remove_revoked(self, guest: GuestId, grant: Versioned[Grant]) -> None:
        """Answer a revoked grant once nothing of it is left here (docs/protocol.md 10).

        ``moved_to`` set: the guest lives there, and the copy here is destroyed and undefined. Not
        set: its migration is open; only a definition made here for an unsettled rebuild goes.
        May raise StoreError: the next round looks again.
        """
        try:
            if grant.value.moved_to is None:
                if guest not in self.context.files.leftovers():
                    return
                await self.rebuilder.undefine_leftover(guest)
            elif not await self._remove_copy(guest, grant.value):
                return
        except HypervisorError as error:
            self.context.log.warning("stale_copy_not_removed", guest=guest, why=error.why)
            await self.context.clock.sleep(RETRY_PAUSE_S)
            return
        await self.znodes.settle(guest, grant, GrantState.RELEASED, "stale copy removed")
        self.context.log.info("stale_copy_removed", guest=guest, moved_to=grant.value.moved_to)

    async def _remove_copy(self, guest: GuestId, grant: Grant) -> bool:
        """Destroy and undefine; False when the copy is kept because it may be the newer one."""
        held = self.context.files.generation_held(guest)
        if held >= grant.generation:
            # safety: the copy here was held under a generation at least as high as the one that is
            # said to live elsewhere: ZooKeeper was rolled back. The copy may be the only true one.
            self.context.log.error(
                "stale_copy_kept", guest=guest, held=held, generation=grant.generation
            )
            await self.context.clock.sleep(RETRY_PAUSE_S)
            return False
        self.context.permits.withdraw(guest)
        listing = await self.listing.refresh()
        if guest in listing.domains:
            await self.context.hypervisor.destroy(guest)
            await self.context.hypervisor.undefine(guest)
            listing = await self.listing.refresh()
        self.context.files.set_leftover(guest, is_leftover=False)
        if guest in listing.domains:
            return False
        # Its host has published it: also an entry whose definition libvirt had lost is of no use.
        self.publisher.give_up(guest)
        return True

    async def clean_up_leftover(self, guest: GuestId) -> None:
        """Undefine what an unsettled rebuild left behind while libvirt did not answer."""
        try:
            await self.rebuilder.undefine_leftover(guest)
            self.context.log.info("leftover_removed", guest=guest)
        except HypervisorError as error:
            self.context.log.warning("leftover_kept", guest=guest, why=error.why)
            await self.context.clock.sleep(RETRY_PAUSE_S)

    async def end_all(self) -> None:
        """End every protected guest: this very boot was shut out (docs/protocol.md 11).

        safety: the leader has convicted this boot and may have given its guests away. Whatever
        still runs here is the second copy; every second of it can cost a disk.
        """
        held = self.context.permits.held()
        # In shadow mode those that are owned here were on no list.
        self.context.permits.protect(self.context.permits.protected() | held)
        for guest in sorted(held):
            self.context.permits.withdraw(guest)
        self.context.files.set_in_service(is_in_service=False)
        await end_guests(self.context, self.listing, self.context.permits.protected())
