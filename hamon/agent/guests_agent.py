"""The guests process as plain async code over ports: what runs here follows what ZooKeeper grants.

Rules:

1. Level-triggered: each round reads how things are and does what is missing. Watches, libvirt's
   events and finished work only make it come round sooner.
2. What a grant asks for depends on the backend: libvirt_mode.py, nova_mode.py.
3. Without ZooKeeper nothing changes: what runs is kept, nothing is deleted, nothing is started.
4. A generation lower than one seen before (a rolled-back ensemble) is never acted on.
5. In shadow mode nothing is changed on this host: shadow.py.
"""

from __future__ import annotations

import asyncio
from typing import assert_never

from hamon.agent.checks import HostChecker
from hamon.agent.context import AgentContext
from hamon.agent.domain_listing import DomainListing
from hamon.agent.inventory import Publisher
from hamon.agent.libvirt_mode import LibvirtMode
from hamon.agent.mode import Granted, Mode, Reports, Surroundings
from hamon.agent.nova_mode import NovaMode
from hamon.agent.shadow import ShadowMode
from hamon.agent.wake import Wake
from hamon.agent.work import GuestWork
from hamon.agent.znodes import HostZnodes, Watches
from hamon.errors import AccessDeniedError, HypervisorError, StoreError, UnreadableNodeError
from hamon.metrics.picture import AgentPicture
from hamon.model.host import Right
from hamon.model.policy import Backend
from hamon.ports.store import SessionState

PERIOD_S = 5.0
PUBLISH_RETRY_S = 1.0
RELIST_PERIOD_S = 30.0
"""After this long every grant is read again, whatever the watches say."""


class GuestsAgent:
    """Runs until cancelled; ends its own tasks then, and no guest."""

    def __init__(self, context: AgentContext) -> None:
        self._context = context
        self._wake = Wake(context.clock)
        self._publish_wake = Wake(context.clock)
        self._watches = Watches(self._wake.set)
        self._listing = DomainListing(
            context.hypervisor, context.clock, context.log, self._on_listing
        )
        self._znodes = HostZnodes(context.store, context.host, self._watches)
        self._work = GuestWork(context.clock, context.log, self._wake.set)
        self._mode = _mode_of(
            Surroundings(
                context=context,
                listing=self._listing,
                publisher=Publisher(context, self._listing),
                znodes=self._znodes,
                work=self._work,
            )
        )
        self._shadow = ShadowMode(context, self._znodes)
        self._relist_due_s = 0.0
        self._was_reading = True
        self._is_shut_out = False
        self._granted: Granted | None = None
        self._round_s: float | None = None
        self._checker: HostChecker | None = None
        if context.checks is not None:
            self._checker = HostChecker(context, context.checks, self._listing)
        self._reports = Reports(context.log)
        context.store.on_state(self._on_store_state)

    async def run(self) -> None:
        """Do rounds until cancelled.

        Raises:
            AssertionError: an invariant is broken.
            AccessDeniedError: ZooKeeper refuses this host's identity.
        """
        self._shadow.resume()
        works = [self._listing.run(), self._publish_forever()]
        if self._checker is not None:
            works.append(self._checker.run())
        beside = [asyncio.ensure_future(work) for work in works]
        try:
            while True:
                await self.round()
                await self._wake.wait(PERIOD_S)
                if self._work.failure is not None:
                    # A broken invariant: the next process reads everything anew.
                    raise self._work.failure
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, self._work.cancel(), return_exceptions=True)

    @property
    def picture(self) -> AgentPicture:
        """How this process does, for metrics; may be asked from any thread."""
        listing, granted = self._listing.current, self._granted
        return AgentPicture(
            round_s=self._round_s,
            is_shut_out=self._is_shut_out,
            is_shadow=granted is not None and granted.is_shadow,
            is_libvirt_healthy=listing.is_healthy,
            domains=tuple(domain.state for domain in listing.domains.values()),
            grants=tuple(g.value.state for g in granted.grants.values()) if granted else (),
            failed=self._checker.failing() if self._checker is not None else {},
        )

    async def round(self) -> None:
        """Look at the guard and every grant, and begin what is missing."""
        self._work.begin_round()
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
        self._granted, self._round_s = granted, self._context.clock.now_s()
        self._tell_refused(granted)
        guard = granted.guard.value
        self._is_shut_out = guard.right is Right.SHUT_OUT and guard.boot_id == self._context.boot_id
        if self._is_shut_out:
            await self._work.cancel()
            await self._mode.end_all()
            is_gated = True
        else:
            is_gated = self._mode.follow(granted)
        await self._tell_gated(granted, is_gated=is_gated)

    async def _tell_gated(self, granted: Granted, *, is_gated: bool) -> None:
        try:
            await self._shadow.end(is_shadow=granted.is_shadow, is_gated=is_gated)
        except AccessDeniedError:
            raise
        except StoreError as error:
            # Until it is told nobody convicts this host: the next round tries again.
            self._context.log.warning("mode_not_told", why=str(error))

    def _tell_refused(self, granted: Granted) -> None:
        """Tell which guests somebody tried to start here in vain, and where they are instead."""
        for guest in sorted(self._context.permits.take_refused()):
            grant = granted.grants.get(guest)
            moved_to = grant.value.moved_to if grant is not None else None
            self._context.log.warning("start_refused", guest=guest, moved_to=moved_to)

    async def _read(self) -> Granted:
        now_s = self._context.clock.now_s()
        if now_s >= self._relist_due_s:
            self._znodes.forget_grants()
            self._relist_due_s = now_s + RELIST_PERIOD_S
        await self._mode.load()
        await self._shadow.read()
        guard = await self._znodes.guard()
        is_shadow = await self._shadow.begin(guard)
        grants = await self._znodes.grants()
        unreadable = set(self._znodes.unreadable)
        for guest, why in self._znodes.unreadable.items():
            self._reports.error("grant_unreadable", guest, 0, why=why)
        for guest, grant in tuple(grants.items()):
            seen = self._context.files.generation_seen(guest)
            if grant.value.generation < seen:
                # safety: the ensemble forgot what it once said; another host may hold the guest
                # under the generation that was lost. Only a human can say.
                self._reports.error(
                    "generation_went_back", guest, grant.value.generation, seen=seen
                )
                unreadable.add(guest)
                del grants[guest]
            else:
                self._context.files.remember_seen(guest, grant.value.generation)
        return Granted(
            guard=guard, grants=grants, unreadable=frozenset(unreadable), is_shadow=is_shadow
        )

    # -- publishing -------------------------------------------------------------------------------

    async def _publish_forever(self) -> None:
        while True:
            pause_s = PERIOD_S
            try:
                is_frozen = self._is_shut_out or self._context.files.leaving() is not None
                await self._mode.publish(may_follow=not is_frozen)
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


def _mode_of(around: Surroundings) -> Mode:
    match around.context.backend:
        case Backend.LIBVIRT:
            return LibvirtMode(around)
        case Backend.NOVA:
            return NovaMode(around)
        case _:
            assert_never(around.context.backend)
