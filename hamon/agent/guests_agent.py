"""The guests process as plain async code over ports: what runs here follows what ZooKeeper grants.

Rules:

1. Level-triggered: each round reads how things are and does what is missing. Watches, libvirt's
   events and finished work only make it come round sooner.
2. Permits exist for exactly the protected guests owned here in this boot.
3. Without ZooKeeper nothing changes: what runs is kept, nothing is deleted, nothing is started.
4. A generation lower than one seen before (a rolled-back ensemble) is never acted on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field

from hamon.agent.context import AgentContext
from hamon.agent.domain_listing import DomainListing
from hamon.agent.inventory import Publisher
from hamon.agent.rebuild import Rebuilder
from hamon.agent.stale import Remover
from hamon.agent.wake import Wake
from hamon.agent.znodes import HostZnodes, Watches
from hamon.errors import AccessDeniedError, HypervisorError, StoreError, UnreadableNodeError
from hamon.model.change import Versioned
from hamon.model.guest import Grant, GrantState
from hamon.model.host import HostGuard, Right
from hamon.model.names import GuestId
from hamon.ports.store import SessionState

PERIOD_S = 5.0
INTERRUPTED_PAUSE_S = 0.2
PUBLISH_RETRY_S = 1.0
RELIST_PERIOD_S = 30.0
"""After this long every grant is read again, whatever the watches say."""

_HELD = frozenset({GrantState.CLAIMED, GrantState.RUNNING})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Granted:
    """The leader's word as read in one round. ``unreadable``: grants that are left alone."""

    guard: Versioned[HostGuard]
    grants: dict[GuestId, Versioned[Grant]]
    unreadable: frozenset[GuestId] = field(default_factory=frozenset)


class GuestsAgent:
    """Runs until cancelled; ends its own tasks then, and no guest."""

    def __init__(self, context: AgentContext) -> None:
        self._context = context
        self._wake = Wake(context.clock)
        self._watches = Watches(self._wake.set)
        self._listing = DomainListing(
            context.hypervisor, context.clock, context.log, self._on_listing
        )
        self._znodes = HostZnodes(context.store, context.host, self._watches)
        self._publisher = Publisher(context, self._listing)
        self._rebuilder = Rebuilder(
            context=context,
            listing=self._listing,
            publisher=self._publisher,
            znodes=self._znodes,
        )
        self._remover = Remover(
            context=context,
            listing=self._listing,
            publisher=self._publisher,
            znodes=self._znodes,
            rebuilder=self._rebuilder,
        )
        self._work: dict[GuestId, asyncio.Task[None]] = {}
        self._ended_lately: set[GuestId] = set()
        self._relist_due_s = 0.0
        self._was_reading = True
        self._is_shut_out = False
        self._failure: BaseException | None = None
        self._publish_wake = Wake(context.clock)
        self._reported: set[tuple[str, GuestId, int]] = set()
        context.store.on_state(self._on_store_state)

    async def run(self) -> None:
        """Do rounds until cancelled.

        Raises:
            AssertionError: an invariant is broken.
            AccessDeniedError: ZooKeeper refuses this host's identity.
        """
        listing = asyncio.ensure_future(self._listing.run())
        publishing = asyncio.ensure_future(self._publish_forever())
        try:
            while True:
                await self.round()
                await self._wake.wait(PERIOD_S)
                if self._failure is not None:
                    # A broken invariant: the next process reads everything anew.
                    raise self._failure
        finally:
            tasks = (listing, publishing, *self._work.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def round(self) -> None:
        """Look at the guard and every grant, and begin what is missing."""
        self._ended_lately.clear()
        try:
            granted = await self._read()
        except AccessDeniedError:
            # The store does not come back from this by itself: a new process tries again.
            raise
        except (StoreError, UnreadableNodeError) as error:
            # safety: without the leader's word nothing is started, ended or deleted here; permits
            # stay as they are. After a boot there are none, so then nothing starts.
            if self._was_reading:
                self._context.log.warning("grants_not_read", why=str(error))
            self._was_reading = False
            return
        self._was_reading = True
        guard = granted.guard.value
        self._is_shut_out = guard.right is Right.SHUT_OUT and guard.boot_id == self._context.boot_id
        if self._is_shut_out:
            await self._cancel_work()
            await self._remover.end_all()
            return
        self._context.files.set_in_service(is_in_service=guard.right is Right.LIVE)
        self._reconcile_permits(granted)
        for guest, grant in sorted(granted.grants.items()):
            if guest not in self._busy():
                self._begin(guest, grant, granted.guard)
        self._begin_leftovers(granted)

    # -- reading ----------------------------------------------------------------------------------

    async def _read(self) -> _Granted:
        now_s = self._context.clock.now_s()
        if now_s >= self._relist_due_s:
            self._znodes.forget_grants()
            self._relist_due_s = now_s + RELIST_PERIOD_S
        guard = await self._znodes.guard()
        await self._publisher.load()
        grants = await self._znodes.grants()
        unreadable = set(self._znodes.unreadable)
        for guest, why in self._znodes.unreadable.items():
            self._report("grant_unreadable", guest, 0, why=why)
        for guest, grant in tuple(grants.items()):
            seen = self._context.files.generation_seen(guest)
            if grant.value.generation < seen:
                # safety: the ensemble forgot what it once said; another host may hold the guest
                # under the generation that was lost. Only a human can say.
                self._report("generation_went_back", guest, grant.value.generation, seen=seen)
                unreadable.add(guest)
                del grants[guest]
            else:
                self._context.files.remember_seen(guest, grant.value.generation)
        return _Granted(guard=guard, grants=grants, unreadable=frozenset(unreadable))

    def _report(self, event: str, guest: GuestId, number: int, **facts: object) -> None:
        if (event, guest, number) not in self._reported:
            self._reported.add((event, guest, number))
            self._context.log.error(event, guest=guest, generation=number, **facts)

    # -- permits ----------------------------------------------------------------------------------

    def _reconcile_permits(self, granted: _Granted) -> None:
        """Withdraw permits of what is not owned, give those of what settled here, list protected.

        A guest with work under way is left to that work.
        """
        permits = self._context.permits
        busy = self._busy() | granted.unreadable
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
            guest for guest, grant in granted.grants.items() if self._protects(guest, grant.value)
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

    def _busy(self) -> frozenset[GuestId]:
        """Name the guests of which this round may know less than the work on them does.

        Work that ended while the round was reading has changed what was read; the next round, which
        its end asked for, reads how things are.
        """
        return frozenset(self._work) | self._ended_lately

    # -- work on one guest ------------------------------------------------------------------------

    def _begin(self, guest: GuestId, grant: Versioned[Grant], guard: Versioned[HostGuard]) -> None:
        is_own = grant.value.boot_id == self._context.boot_id
        is_live = guard.value.right is Right.LIVE
        match grant.value.state:
            case GrantState.OFFERED if is_live and is_own:
                self._start(guest, self._rebuilder.take(guest, grant, guard))
            case GrantState.CLAIMED if is_live:
                self._start(guest, self._rebuilder.take(guest, grant, guard))
            case GrantState.RUNNING if is_live and not is_own and self._listing.current.is_healthy:
                # Nobody convicted the boot that ran it: restart in place (docs/protocol.md 9).
                self._start(guest, self._rebuilder.take(guest, grant, guard))
            case GrantState.REVOKED if self._is_stale(guest, grant.value):
                self._start(guest, self._remover.remove_revoked(guest, grant))
            case _:
                pass

    def _is_stale(self, guest: GuestId, grant: Grant) -> bool:
        return grant.moved_to is not None or guest in self._context.files.leftovers()

    def _begin_leftovers(self, granted: _Granted) -> None:
        if not self._listing.current.is_healthy:
            return
        for guest in sorted(self._context.files.leftovers() - self._busy()):
            grant = granted.grants.get(guest)
            if grant is not None and grant.value.state is GrantState.RELEASED:
                self._start(guest, self._remover.clean_up_leftover(guest))

    def _start(self, guest: GuestId, work: Coroutine[object, object, None]) -> None:
        task = asyncio.ensure_future(self._guarded(guest, work))
        self._work[guest] = task
        task.add_done_callback(lambda _: self._finished(guest))

    async def _guarded(self, guest: GuestId, work: Coroutine[object, object, None]) -> None:
        try:
            await work
        except StoreError as error:
            self._context.log.warning("guest_work_interrupted", guest=guest, why=str(error))
            await self._context.clock.sleep(INTERRUPTED_PAUSE_S)

    def _finished(self, guest: GuestId) -> None:
        task = self._work.pop(guest)
        self._ended_lately.add(guest)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._failure = failure
        self._wake.set()

    async def _cancel_work(self) -> None:
        tasks = tuple(self._work.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- publishing -------------------------------------------------------------------------------

    async def _publish_forever(self) -> None:
        while True:
            pause_s = PERIOD_S
            try:
                await self._publisher.publish_domains()
                is_frozen = self._is_shut_out or self._context.files.leaving() is not None
                await self._publisher.publish_inventory(may_follow=not is_frozen)
                await self._publisher.publish_capacity()
            except (StoreError, HypervisorError):
                # Both tell by themselves when they are lost and found.
                pause_s = PUBLISH_RETRY_S
            await self._publish_wake.wait(pause_s)

    def _on_listing(self) -> None:
        self._wake.set()
        self._publish_wake.set()

    def _on_store_state(self, state: SessionState) -> None:
        if state is not SessionState.CONNECTED:
            # Watches go with the connection, also when the session outlives it.
            self._watches.forget_all()
            self._znodes.forget_grants()
        self._wake.set()
        self._publish_wake.set()
