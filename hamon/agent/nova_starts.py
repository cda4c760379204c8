"""Which of Nova's guests may start on this host: the list and the permits that the hook reads.

Rules (docs/protocol.md 14, 19-22, 28-30):

1. Each guest of Nova's that libvirt has here is protected, and so is each denied one. The list
   outlives the boot and permits do not: after a boot none of them starts until rule 2 says so.
2. Once the leader's word lets this boot serve, each of them that is not denied has a permit. While
   the word holds the host back none has. Before it is known all stays as it is, but for denials.
3. A guest that is not listed yet, because Nova defined it just now, starts freely: it gets its
   permit first and is listed then, so that no start of it is ever refused.
4. In shadow mode only what is denied is listed; all others start freely, also after a boot.
5. Nothing here ends a guest.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import assert_never

from hamon.agent.context import AgentContext
from hamon.agent.domain_listing import DomainListing
from hamon.agent.gate_files import GateOverride
from hamon.backends.libvirt.definition import is_of_nova
from hamon.model.host import HostGuard, Right
from hamon.model.names import GuestId

_GENERATION = 0
"""Permits carry one; Nova's guests have none."""


class Starts(StrEnum):
    """What this host may do about starts; ``unread``: this process has no word for this boot.

    ``free``: they are no concern of hamon's (shadow mode).
    """

    UNREAD = "unread"
    HELD = "held"
    ADMITTED = "admitted"
    FREE = "free"


class NovaStarts:
    """Keeps list and permits as the leader's word, libvirt and an operator's override have them."""

    def __init__(self, context: AgentContext, listing: DomainListing) -> None:
        self._log = context.log
        self._files = context.files
        self._permits = context.permits
        self._listing = listing
        # After a boot without ZooKeeper shadow mode is still what was said last.
        self._word = Starts.FREE if context.files.is_shadow() else Starts.UNREAD
        self._is_of_nova = lru_cache(maxsize=512)(is_of_nova)
        self._override_told: GateOverride | None = None

    def obey(self, guard: HostGuard, denied: frozenset[GuestId], *, is_registered: bool) -> bool:
        """Take over what was just read, of a boot that may live, and make the hook obey it.

        Args:
            guard: the leader's word.
            denied: guests that must not start, whatever it is.
            is_registered: whether the heartbeat had registered this boot before ``guard`` was read.

        Returns:
            False when the word counts only once the boot is registered; denials count at once.
        """
        may_serve = guard.right is Right.LIVE or guard.is_gate_open
        # safety: an unregistered boot may live on the word for its forerunner, which can be
        # convicted yet, and its guests be evacuated. From registration on a conviction names this
        # boot, and a guard read after it tells of any earlier one.
        is_word_for_this_boot = is_registered or not may_serve
        if is_word_for_this_boot:
            self._word = Starts.ADMITTED if may_serve else Starts.HELD
            # Only a host in service is given guests back (evacuator/cloud/denials.py).
            self._files.set_permits_may_come(may_come=guard.right is Right.LIVE)
        # Before any permit: an override after the next boot goes by what lies on disk.
        self._files.set_denied(denied)
        self.renew()
        return is_word_for_this_boot

    def free(self, denied: frozenset[GuestId]) -> None:
        """Hold back nothing but what is denied: hamon is in shadow mode."""
        self._word = Starts.FREE
        self._files.set_permits_may_come(may_come=True)
        self._files.set_denied(denied)
        self.renew()

    def give_up(self) -> frozenset[GuestId]:
        """Refuse every guest for the rest of this boot; return them: this boot was shut out."""
        self._word = Starts.HELD
        self._files.note_given_up()
        self._files.set_permits_may_come(may_come=False)
        self.renew()
        return self._files.nova_guests() | self._permits.protected()

    def renew(self) -> None:
        """Bring list and permits up to date with libvirt and the override. Idempotent."""
        self._note_guests()
        override = self._override()
        is_free = self._word is Starts.FREE
        starts = self._word if override is None or is_free else Starts.ADMITTED
        match starts:
            case Starts.ADMITTED:
                self._admit(override)
            case Starts.HELD:
                self._hold()
            case Starts.UNREAD:
                self._keep()
            case Starts.FREE:
                self._free()
            case _:
                assert_never(starts)

    def _admit(self, override: GateOverride | None) -> None:
        guests, denied = self._files.nova_guests(), self._files.denied()
        held, listed = self._permits.held(), self._permits.protected()
        self._withdraw(held & denied)
        given = guests - denied - held
        for guest in sorted(given):
            self._permits.give(guest, _GENERATION)
            self._log.info("permit_given", guest=guest)
        if given and override is not None:
            self._log.error("permits_given_by_override", who=override.who, guests=sorted(given))
        # Only now: a guest that is listed before it has its permit could be refused a restart.
        self._permits.protect(guests | denied)
        # What left the list in an earlier round. A hook that read it there may still be asking for
        # the permit, when Nova undefines and defines a guest anew to reboot it.
        self._withdraw(held - listed - guests - denied)

    def _hold(self) -> None:
        # safety: the list only grows here. A libvirtd that came back without its configuration
        # lists nothing, and an operator who restores it would free what may run elsewhere.
        listed = self._permits.protected()
        self._permits.protect(listed | self._files.nova_guests() | self._files.denied())
        self._withdraw(self._permits.held())

    def _free(self) -> None:
        # safety: what is not denied was not moved away, and will not be while this host says that
        # it is ungated (shadow.py). Permits stay: when all are listed again they are needed.
        denied = self._files.denied()
        self._withdraw(self._permits.held() & denied)
        self._permits.protect(denied)

    def _keep(self) -> None:
        # safety: permits of this boot stay, and after a boot there are none.
        denied = self._files.denied()
        self._permits.protect(self._permits.protected() | denied)
        self._withdraw(self._permits.held() & denied)

    def _withdraw(self, guests: frozenset[GuestId]) -> None:
        for guest in sorted(guests):
            self._permits.withdraw(guest)
            self._log.info("permit_withdrawn", guest=guest)

    def _note_guests(self) -> None:
        """Write down which guests are Nova's, for when libvirt does not tell."""
        listing = self._listing.current
        if listing.is_healthy:
            self._files.set_nova_guests(
                frozenset(
                    guest
                    for guest, domain in listing.domains.items()
                    if self._is_of_nova(domain.definition)
                )
            )

    def _override(self) -> GateOverride | None:
        """Tell who opened the gate by hand, and that loudly; None: nobody, or it counts not."""
        override = self._files.override()
        if override is not None and override != self._override_told:
            self._override_told = override
            self._log.error(
                "gate_overridden", who=override.who, at=override.at, reason=override.reason
            )
        # safety: as at the gate, an operator's word passes over the leader's silence and caution,
        # but not over the verdict on this very boot, also when it cannot be read any more.
        return None if self._files.is_given_up() else override
