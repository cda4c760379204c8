"""In a nova cloud: Nova starts guests; hamon refuses those that it moved away (docs/protocol.md).

Rules:

1. A denial is a grant that is REVOKED or RELEASED and names where the guest went. While it is there
   the hook refuses every start of the guest on this host, and a copy that runs is ended.
2. Nothing is ever defined, undefined or started here: nova-compute cleans up by itself, and only
   what libvirt still lists. Disks are never touched.
3. Guests without a denial start as Nova likes, but after a boot only once the leader's word was
   read (nova_starts.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from hamon.agent.ending import end_guests
from hamon.agent.mode import Granted, Reports, Surroundings
from hamon.agent.nova_starts import NovaStarts
from hamon.errors import HypervisorError
from hamon.model.change import Versioned
from hamon.model.guest import Grant, GrantState
from hamon.model.names import GuestId

RETRY_PAUSE_S = 1.0

_DENYING = frozenset({GrantState.REVOKED, GrantState.RELEASED})


class NovaMode:
    """The hook refuses the denied guests, and no copy of them runs on."""

    def __init__(self, around: Surroundings) -> None:
        self._context = around.context
        self._listing = around.listing
        self._publisher = around.publisher
        self._znodes = around.znodes
        self._work = around.work
        self._reports = Reports(around.context.log)
        self._starts = NovaStarts(around.context, around.listing)
        self._is_registered = False

    async def load(self) -> None:
        """Read whether the heartbeat has registered this boot; once it has, that stays so."""
        if not self._is_registered:
            self._is_registered = await self._znodes.registered() == self._context.boot_id

    def follow(self, granted: Granted) -> bool:
        """Have the hook obey, tell the gate so, and end denied copies that run."""
        denials = self._denials(granted)
        self._leave_service()
        # safety: only denials exist here, so one that cannot be read counts as one for the hook. It
        # ends nothing.
        denied = frozenset(denials) | granted.unreadable
        guard = granted.guard
        if granted.is_shadow:
            self._starts.free(denied)
            return False
        is_obeyed = self._starts.obey(guard.value, denied, is_registered=self._is_registered)
        if is_obeyed:
            # Only now: nova-compute waits for this, and begins to start guests at once.
            self._context.files.note_enforced(guard.version, self._context.clock.now_s())
        listing = self._listing.current
        if not listing.is_healthy:
            self._kill(denials)
            return is_obeyed
        for guest, grant in sorted(denials.items()):
            is_due = grant.value.state is GrantState.REVOKED or listing.is_active(guest)
            if is_due and guest not in self._work.busy():
                self._work.start(guest, self._end_copy(guest, grant))
        return is_obeyed

    async def end_all(self) -> None:
        """End every guest that Nova has here.

        safety: the leader has convicted this boot and may have had its guests evacuated. Whatever
        still runs here is the second copy. nova-compute runs on in this boot, and would obey a late
        order to start a guest: the hook refuses them all. What is not Nova's is left alone.
        """
        self._leave_service()
        guests = self._starts.give_up()
        await end_guests(self._context, self._listing, guests)

    async def publish(self, *, may_follow: bool) -> None:
        """Write domains only: Nova keeps inventory and capacity itself."""
        # Here, too: also without ZooKeeper new guests become known, and an override counts.
        self._starts.renew()
        await self._publisher.publish_domains()

    # -- the hook ---------------------------------------------------------------------------------

    def _denials(self, granted: Granted) -> dict[GuestId, Versioned[Grant]]:
        denials = {}
        for guest, grant in granted.grants.items():
            if grant.value.state in _DENYING and grant.value.moved_to is not None:
                denials[guest] = grant
            else:
                self._reports.error(
                    "grant_not_of_this_backend",
                    guest,
                    grant.value.generation,
                    state=grant.value.state,
                )
        return denials

    def _leave_service(self) -> None:
        """Leave no mark of service: it lets a protected guest arrive without a permit.

        safety: an incoming live migration of a denied guest is refused, too, and so stays where it
        runs; let in, its only copy would be ended here.
        """
        self._context.files.set_in_service(is_in_service=False)

    # -- copies that run --------------------------------------------------------------------------

    def _kill(self, denials: Mapping[GuestId, Versioned[Grant]]) -> None:
        """End copies by their processes: libvirt does not say what runs, and may hang for long."""
        if not denials:
            return
        for guest in sorted(self._context.kill_guests(frozenset(denials))):
            self._tell_ended(guest, denials[guest].value)

    async def _end_copy(self, guest: GuestId, grant: Versioned[Grant]) -> None:
        """Power a denied guest off, and answer its denial once it certainly is.

        May raise StoreError: the next round looks again.
        """
        was_active = self._listing.current.is_active(guest)
        try:
            # safety: also for a guest that is off. A start that passed the hook before it refused
            # holds the domain until it has ended one way or the other, and `destroy` waits for
            # that; so after its answer, and a listing without a process, the guest is off for good.
            await self._context.hypervisor.destroy(guest)
            listing = await self._listing.refresh()
        except HypervisorError as error:
            self._context.log.warning("stale_copy_not_ended", guest=guest, why=error.why)
            self._kill({guest: grant})
            await self._context.clock.sleep(RETRY_PAUSE_S)
            return
        if was_active:
            self._tell_ended(guest, grant.value)
        if listing.is_active(guest):
            await self._context.clock.sleep(RETRY_PAUSE_S)
        elif grant.value.state is GrantState.REVOKED:
            await self._znodes.settle(guest, grant, GrantState.RELEASED, "stale copy is off")
            self._context.log.info("stale_copy_off", guest=guest, moved_to=grant.value.moved_to)

    def _tell_ended(self, guest: GuestId, grant: Grant) -> None:
        # An error: until now two copies may have run.
        self._context.log.error("stale_copy_ended", guest=guest, moved_to=grant.moved_to)
