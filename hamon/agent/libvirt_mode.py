"""Without a cloud: guests are claimed, rebuilt and removed here, and start only with a permit."""

from __future__ import annotations

from hamon.agent.mode import Granted, Surroundings
from hamon.agent.rebuild import Rebuilder
from hamon.agent.stale import Remover
from hamon.model.change import Versioned
from hamon.model.guest import Grant, GrantState
from hamon.model.host import HostGuard, Right
from hamon.model.names import GuestId

_HELD = frozenset({GrantState.CLAIMED, GrantState.RUNNING})


class LibvirtMode:
    """Permits exist for exactly the protected guests owned here in this boot."""

    def __init__(self, around: Surroundings) -> None:
        self._context = around.context
        self._listing = around.listing
        self._publisher = around.publisher
        self._work = around.work
        self._rebuilder = Rebuilder(
            context=around.context,
            listing=around.listing,
            publisher=around.publisher,
            znodes=around.znodes,
        )
        self._remover = Remover(
            context=around.context,
            listing=around.listing,
            publisher=around.publisher,
            znodes=around.znodes,
            rebuilder=self._rebuilder,
        )

    async def load(self) -> None:
        """Read what this host has published of its guests."""
        await self._publisher.load()

    def follow(self, granted: Granted) -> bool:
        """Give and withdraw permits, and begin what is missing of each grant."""
        is_live = granted.guard.value.right is Right.LIVE
        self._context.files.set_in_service(is_in_service=is_live)
        # safety: a permit that was withdrawn from a guest of hamon's own never comes by waiting.
        self._context.files.set_permits_may_come(may_come=False)
        self._reconcile_permits(granted)
        for guest, grant in sorted(granted.grants.items()):
            if guest not in self._work.busy():
                self._begin(guest, grant, granted)
        if not granted.is_shadow:
            self._begin_leftovers(granted)
        # A grant that cannot be read may be of a guest that is on no list yet.
        return not granted.is_shadow and not granted.unreadable

    async def end_all(self) -> None:
        """End every protected guest."""
        await self._remover.end_all()

    async def publish(self, *, may_follow: bool) -> None:
        """Write domains, inventory and capacity."""
        await self._publisher.publish_domains()
        await self._publisher.publish_inventory(may_follow=may_follow)
        await self._publisher.publish_capacity()

    # -- permits ----------------------------------------------------------------------------------

    def _reconcile_permits(self, granted: Granted) -> None:
        """Withdraw permits of what is not owned, give those of what settled here, list protected.

        A guest with work under way is left to that work.
        """
        permits = self._context.permits
        busy = self._work.busy() | granted.unreadable
        owned = {
            guest: grant.value
            for guest, grant in granted.grants.items()
            if grant.value.state in _HELD and grant.value.boot_id == self._context.boot_id
        }
        held = permits.held()
        for guest in sorted(held - owned.keys() - busy):
            permits.withdraw(guest)
            self._context.log.info("permit_withdrawn", guest=guest)
        for guest, grant in sorted(owned.items()):
            if grant.state is GrantState.RUNNING and guest not in busy and guest not in held:
                permits.give(guest, grant.generation)
                self._context.log.info("permit_given", guest=guest, generation=grant.generation)
        protected = frozenset(
            guest
            for guest, grant in granted.grants.items()
            if (
                self._is_elsewhere(guest, grant.value)
                if granted.is_shadow
                else self._protects(guest, grant.value)
            )
        )
        permits.protect(protected | (permits.protected() & busy))

    def _protects(self, guest: GuestId, grant: Grant) -> bool:
        """Say whether the gate must hold this guest back when there is no permit.

        Every guest that has, or had, a grant here, but for two: one that is being adopted (it
        starts freely until its permit is there), and one whose own definition here opted out or
        cannot move, so that nobody else can have it.
        """
        if grant.state is GrantState.OFFERED and not grant.definition and grant.incident is None:
            return guest in self._context.permits.protected()
        # safety: a revoked grant means that another host has or may have the guest; then it does
        # not matter what the copy here says of itself.
        if grant.state is GrantState.REVOKED:
            return True
        entry = (self._publisher.entries() or {}).get(guest)
        return entry is None or entry.is_protected

    def _is_elsewhere(self, guest: GuestId, grant: Grant) -> bool:
        """Say whether the guest is, or may be, another host's: hamon moved it, or was about to.

        safety: only these are held back in shadow mode. Whatever else has a grant here nobody else
        was given, and nobody will be while this host says that it is ungated. An offer with a
        definition is of a guest on its way here, and may yet be taken back; where one was not
        settled, the definition made for it may still be there.
        """
        match grant.state:
            case GrantState.REVOKED:
                return True
            case GrantState.RELEASED:
                return grant.moved_to is not None or guest in self._context.files.leftovers()
            case _:
                return bool(grant.definition)

    # -- work on one guest ------------------------------------------------------------------------

    def _begin(self, guest: GuestId, grant: Versioned[Grant], granted: Granted) -> None:
        guard = granted.guard
        is_own = grant.value.boot_id == self._context.boot_id
        if granted.is_shadow:
            self._take_as_it_is(guest, grant, guard, is_own=is_own)
            return
        is_live = guard.value.right is Right.LIVE
        match grant.value.state:
            case GrantState.OFFERED if is_live and is_own:
                self._work.start(guest, self._rebuilder.take(guest, grant, guard))
            case GrantState.CLAIMED if is_live:
                self._work.start(guest, self._rebuilder.take(guest, grant, guard))
            case GrantState.RUNNING if is_live and not is_own and self._listing.current.is_healthy:
                # Nobody convicted the boot that ran it: restart in place (docs/protocol.md 9).
                self._work.start(guest, self._rebuilder.take(guest, grant, guard))
            case GrantState.REVOKED if self._is_stale(guest, grant.value):
                self._work.start(guest, self._remover.remove_revoked(guest, grant))
            case _:
                pass

    def _take_as_it_is(
        self,
        guest: GuestId,
        grant: Versioned[Grant],
        guard: Versioned[HostGuard],
        *,
        is_own: bool,
    ) -> None:
        """In shadow mode, keep the books of a guest that is defined here, and leave it as it is.

        What came with a definition waits for active mode: it would have to be built.
        """
        if grant.value.definition or not self._listing.current.is_healthy:
            return
        match grant.value.state:
            case GrantState.OFFERED if is_own:
                self._work.start(guest, self._rebuilder.take_as_it_is(guest, grant, guard))
            case GrantState.CLAIMED:
                self._work.start(guest, self._rebuilder.take_as_it_is(guest, grant, guard))
            case GrantState.RUNNING if not is_own:
                self._work.start(guest, self._rebuilder.take_as_it_is(guest, grant, guard))
            case _:
                pass

    def _is_stale(self, guest: GuestId, grant: Grant) -> bool:
        return grant.moved_to is not None or guest in self._context.files.leftovers()

    def _begin_leftovers(self, granted: Granted) -> None:
        if not self._listing.current.is_healthy:
            return
        for guest in sorted(self._context.files.leftovers() - self._work.busy()):
            grant = granted.grants.get(guest)
            if grant is not None and grant.value.state is GrantState.RELEASED:
                self._work.start(guest, self._remover.clean_up_leftover(guest))
